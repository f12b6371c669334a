//! Repairs of a gadget that stopped working. The daemon may not touch configfs, so it leaves a word in its runtime
//! directory; a root unit (`packaging/systemd/kvmdesk-gadget-repair.path`) runs `kvmdesk gadget repair`, which takes it.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::{GadgetError, GadgetSpec, GadgetUp, KernelPaths, choose_udc, hand_over, has_shape, refused};
use super::{gadgets_dir, remove, wait_for_nodes};

/// How long the computer sees nothing between unbinding and binding: its hub looks at a port for 100 ms (USB 2.0
/// section 7.1.7.3).
const UNPLUGGED: Duration = Duration::from_millis(250);

/// A repair, the milder first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// The gadget is taken off its controller and bound again.
    Rebind,
    /// It is removed and built anew.
    Rebuild,
}

impl Repair {
    /// The word in a request.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rebind => "rebind",
            Self::Rebuild => "rebuild",
        }
    }
}

/// Where a request lies.
pub fn request_file(paths: &KernelPaths) -> PathBuf {
    paths.run.join("kvmdesk/gadget-repair")
}

/// Says that somebody took the gadget down on purpose: `/run` itself, where the daemon cannot write.
pub(super) fn down_file(paths: &KernelPaths) -> PathBuf {
    paths.run.join("kvmdesk-gadget-down")
}

/// Whether somebody took the gadget down on purpose.
pub fn is_taken_down(paths: &KernelPaths) -> bool {
    down_file(paths).exists()
}

/// Asks root for a repair; does not wait for it.
///
/// # Errors
/// A sentence: nobody took the last request, or there is no place to leave one.
pub fn ask(repair: Repair, paths: &KernelPaths) -> io::Result<()> {
    let file = request_file(paths);
    let unheard = |error: io::Error| {
        let what = if error.kind() == io::ErrorKind::AlreadyExists {
            "nobody took the last request for a repair".to_owned()
        } else {
            format!("{} cannot be written ({error})", file.display())
        };
        let text = format!(
            "{what}, so the gadget is not repaired by itself: enable kvmdesk-gadget-repair.path, or run `kvmdesk gadget \
             rebind` as root"
        );
        io::Error::new(error.kind(), text)
    };
    let mut request = OpenOptions::new().write(true).create_new(true).open(&file).map_err(unheard)?;
    request.write_all(repair.word().as_bytes())
}

/// Takes the request back, if it is still there.
pub fn withdraw(paths: &KernelPaths) {
    let _ = fs::remove_file(request_file(paths));
}

/// Takes the request, so that it is done once. `None` if there is none, or one that says nothing known.
///
/// # Errors
/// The file is there and cannot be read or removed.
pub fn take_request(paths: &KernelPaths) -> io::Result<Option<Repair>> {
    let file = request_file(paths);
    // The file is another user's: no link is followed, no pipe is waited for, and little is read.
    let open = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&file);
    let mut word = String::new();
    let read = match open {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
        Ok(open) => open.take(16).read_to_string(&mut word).map(|_| ()),
    };
    fs::remove_file(&file)?;
    read?;
    Ok([Repair::Rebind, Repair::Rebuild].into_iter().find(|repair| word.trim() == repair.word()))
}

/// Repairs the gadget and gives its nodes to the group again. One that is not there or has another shape is built.
///
/// # Errors
/// Any [`GadgetError`]; [`GadgetError::TakenDown`] if `kvmdesk gadget down` took it away.
pub fn repair(repair: Repair, spec: &GadgetSpec, paths: &KernelPaths) -> Result<GadgetUp, GadgetError> {
    if is_taken_down(paths) {
        return Err(GadgetError::TakenDown(spec.name.clone()));
    }
    let dir = gadgets_dir(paths)?.join(&spec.name);
    if repair == Repair::Rebuild && dir.is_dir() {
        remove(&spec.name)?;
    }
    if !dir.is_dir() || !has_shape(&dir, spec) {
        return super::up(spec, paths);
    }
    let udc = choose_udc(spec.udc.as_deref(), paths)?;
    let what = format!("the USB gadget \"{}\" cannot be bound to {udc} again", spec.name);
    match fs::write(dir.join("UDC"), "\n") {
        // It was bound to nothing.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
        unbound => unbound.map_err(refused(what.clone()))?,
    }
    std::thread::sleep(UNPLUGGED);
    fs::write(dir.join("UDC"), &udc).map_err(refused(what))?;
    let nodes = wait_for_nodes(&dir, paths)?;
    let remarks = hand_over(&nodes, &udc, spec, paths)?;
    Ok(GadgetUp { udc, was_kept: true, nodes, remarks })
}
