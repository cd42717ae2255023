//! The page of results: what the benchmarks wrote down, drawn beside what the paper found.
//!
//! ```text
//! RESULTS/migrate.json ..  --figures-->  Figure  --picture-->  RESULTS/*.svg
//!                                                              RESULTS/*.png
//!                          --tables--->  Table   --html----->  RESULTS/index.html
//! ```

mod figures;
mod html;
mod tables;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::paper::Paper;
use crate::picture::{Picture, PictureError};
use crate::result_files::{self, Benchmark, FileError};

/// A page that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// A file of results cannot be read, or the page not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A picture cannot be drawn.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// There are no results at all.
    #[error("there are no results in {path}: `make bench` makes them")]
    Nothing {
        /// The directory.
        path: PathBuf,
    },
}

/// What one benchmark wrote.
#[derive(Debug, Clone)]
pub struct Source {
    /// The benchmark.
    pub benchmark: Benchmark,
    /// Its results, if they are there.
    pub results: Option<Value>,
}

/// A picture and what has to be said of it.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Name of its file, without the ending.
    pub name: &'static str,
    /// What is drawn.
    pub picture: Picture,
    /// What is not as it was in the paper.
    pub remark: &'static str,
}

/// Numbers in rows.
#[derive(Debug, Clone)]
pub struct Table {
    /// What they are.
    pub title: String,
    /// What stands above each of them.
    pub heads: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// Draws all pictures for which there are results in `directory` there, and writes the page that shows
/// them; says where it is.
///
/// # Errors
/// There are no results, or files cannot be read or written.
pub fn build(directory: &Path) -> Result<PathBuf, PageError> {
    let sources = Benchmark::ALL.map(|benchmark| {
        let results = match result_files::read(directory, benchmark) {
            Ok(results) => Some(results),
            Err(error) if error.is_missing() => None,
            Err(error) => return Err(error),
        };
        Ok(Source { benchmark, results })
    });
    let sources: Vec<_> = sources.into_iter().collect::<Result<_, _>>()?;
    if sources.iter().all(|source| source.results.is_none()) {
        let path = directory.to_owned();
        return Err(PageError::Nothing { path });
    }
    let paper = Paper::load();
    let figures = figures::all(&sources, &paper);
    for figure in &figures {
        for ending in ["svg", "png"] {
            let path = directory.join(figure.name).with_extension(ending);
            figure.picture.draw(&path)?;
        }
    }
    let path = directory.join("index.html");
    let page = html::page(&sources, &figures, &tables::all(&sources, &paper));
    fs::write(&path, page).map_err(FileError::at("write", &path))?;
    Ok(path)
}
