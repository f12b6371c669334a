//! `kvmdesk snapshot FILE`: one picture, by the running daemon or, if none runs, from the device itself.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;

use crate::agent::control::{self, AskError, Picture};
use crate::agent::store::Store;
use crate::config::settings::Settings;
use crate::media::encode::encoders::Encoders;
use crate::media::pipeline::{Pipeline, VideoSettings};
use crate::video::card::TestCard;

use super::args::{Place, Snapshot};
use super::{Failure, IO, NO_PERMISSION, UNAVAILABLE, USAGE, place};

/// A device that is opened for one picture has so long to lock to its signal and deliver it.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(place: &Place, args: &Snapshot) -> Result<(), Failure> {
    let is_stdout = args.file.as_os_str() == "-";
    if is_stdout && std::io::stdout().is_terminal() {
        let text = "a PNG would only confuse the terminal: name a file, or send standard output into one";
        return Err(Failure::new(USAGE, text));
    }
    let display = usize::from(args.display);
    let picture = match ask(place, display)? {
        Some(picture) => picture,
        None => take(&place::settings(place)?, display)?,
    };
    if is_stdout {
        let mut out = std::io::stdout().lock();
        return Ok(out.write_all(&picture.png).and_then(|()| out.flush())?);
    }
    std::fs::write(&args.file, &picture.png).map_err(|e| unwritable(&args.file, &e))?;
    println!("{}: {}x{}, {} bytes", args.file.display(), picture.width, picture.height, picture.bytes);
    Ok(())
}

fn unwritable(file: &Path, error: &std::io::Error) -> Failure {
    let is_permission = error.kind() == std::io::ErrorKind::PermissionDenied;
    let code = if is_permission { NO_PERMISSION } else { IO };
    Failure::new(code, format!("cannot write {}: {error}", file.display()))
}

/// The daemon's picture; `None` if none runs.
fn ask(place: &Place, display: usize) -> Result<Option<Picture>, Failure> {
    match control::ask_picture(&Store::at(&place::state_dir(place)?).socket(), display) {
        Ok(Ok(picture)) => Ok(Some(picture)),
        Ok(Err(text)) => Err(Failure::new(UNAVAILABLE, text)),
        Err(AskError::NotRunning(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens the configured device for one picture.
fn take(settings: &Settings, display: usize) -> Result<Picture, Failure> {
    let displays = &settings.displays;
    let Some(video) = display.checked_sub(1).and_then(|n| displays.get(n)) else {
        let text = format!("there is no display {display}; the configuration has {}", displays.len());
        return Err(Failure::new(UNAVAILABLE, text));
    };
    let unavailable = |e: &dyn std::fmt::Display| Failure::new(UNAVAILABLE, e.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let snapshot = runtime.block_on(async {
        let taking = one(video);
        tokio::time::timeout(PATIENCE, taking).await.map_err(|_| unavailable(&"no picture came in time"))?
    })?;
    let png = snapshot.to_png();
    if png.is_empty() {
        return Err(unavailable(&"the picture could not be made a PNG"));
    }
    let size = snapshot.resolution;
    Ok(Picture { width: size.width, height: size.height, bytes: png.len(), png })
}

async fn one(video: &VideoSettings) -> Result<crate::media::snapshot::Snapshot, Failure> {
    let card = watch::channel(TestCard::default()).1;
    // Nothing is encoded.
    let pipeline = Pipeline::spawn(video.clone(), card, Encoders::of(vec![]));
    pipeline.handle().snapshot().await.map_err(|e| Failure::new(UNAVAILABLE, e.to_string()))
}
