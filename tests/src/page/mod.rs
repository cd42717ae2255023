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
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::paper::Paper;
use crate::picture::{Picture, PictureError};

/// A page that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// A file of results cannot be read, or the page not be written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file of results is not what a benchmark writes.
    #[error("{path} is no file of results")]
    Results {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
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

/// A benchmark whose results the page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Benchmark {
    /// Start and size.
    Boot,
    /// Moves.
    Migrate,
    /// What moves do to an application.
    Degradation,
    /// Moves beside QEMU's.
    Peers,
    /// Resumes.
    Resume,
    /// Devices.
    Devices,
    /// The balloon.
    Balloon,
}

impl Benchmark {
    /// In the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Migrate,
        Self::Degradation,
        Self::Peers,
        Self::Resume,
        Self::Balloon,
        Self::Devices,
        Self::Boot,
    ];

    /// Its name, that of its file and of its program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Migrate => "migrate",
            Self::Degradation => "degradation",
            Self::Peers => "peers",
            Self::Resume => "resume",
            Self::Devices => "devices",
            Self::Balloon => "balloon",
        }
    }
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
    let sources = Benchmark::ALL.map(|benchmark| read(directory, benchmark));
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
    fs::write(&path, page).map_err(failed("write", &path))?;
    Ok(path)
}

fn read(directory: &Path, benchmark: Benchmark) -> Result<Source, PageError> {
    let path = directory.join(benchmark.name()).with_extension("json");
    let results = match fs::read(&path) {
        Ok(bytes) => Some(
            serde_json::from_slice(&bytes).map_err(|source| PageError::Results { path, source })?,
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("read", &path)(error)),
    };
    Ok(Source { benchmark, results })
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PageError {
    let path = path.to_owned();
    move |source| PageError::File {
        action,
        path,
        source,
    }
}
