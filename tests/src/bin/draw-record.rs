//! `draw-record`: what `skiff balloon --record` has written, as a picture.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use ::tests::bench::balloon::record;
use argh::FromArgs;

/// Draws a record of a balloon (`skiff balloon NAME --record FILE.csv`) as SVG, or as PNG if the name of the picture ends so.
#[derive(FromArgs)]
struct Args {
    /// the record
    #[argh(positional)]
    record: PathBuf,

    /// the picture
    #[argh(positional)]
    picture: PathBuf,
}

fn main() -> ExitCode {
    let args: Args = argh::from_env();
    match draw(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("draw-record: {}: {error}", args.record.display());
            ExitCode::FAILURE
        }
    }
}

fn draw(args: &Args) -> Result<(), Box<dyn Error>> {
    let csv = fs::read_to_string(&args.record)?;
    Ok(record::picture(&csv)?.draw(&args.picture)?)
}
