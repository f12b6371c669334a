//! The state directory: 0700, its files 0600, every write whole or not at all (write, fsync, rename, fsync).
//! A full disk is an error in words, and what was there before stays. What belongs to one target lies in
//! `targets/1/`, so that more targets can stand beside it.
#![allow(unsafe_code, reason = "flock, the one lock that dies with its process")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Largest state file that is read, in bytes; ours are far smaller.
const MAX_FILE: u64 = 4 << 20;

/// Why the state directory did not do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("cannot {what} {path}: {error}{hint}")]
    Io {
        /// A verb.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
        /// What to do, with a leading separator, or empty.
        hint: &'static str,
    },
    /// A file is there, but not as we wrote it.
    #[error("{path} is damaged ({why}); restore it from a backup, or remove it to start anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody else runs on this directory.
    #[error("another kvmdesk runs on the state directory {0}; stop it first, or give another --state-dir")]
    InUse(PathBuf),
}

impl StoreError {
    pub(super) fn io(what: &'static str, path: &Path, error: io::Error) -> Self {
        let kind = error.kind();
        let hint = if kind == io::ErrorKind::PermissionDenied {
            "; run as the user that owns the state directory, or as root"
        } else if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            "; make room on the disk, nothing was changed"
        } else if kind == io::ErrorKind::ReadOnlyFilesystem {
            "; mount a small writable partition there"
        } else {
            ""
        };
        Self::Io { what, path: path.to_owned(), error, hint }
    }

    /// Whether the reason is missing permission.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// The state directory.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// Held by the one process that runs on a state directory; dropping it lets go.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

impl Store {
    /// The directory as it is: for those who only read it or ask the daemon.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Opens the directory, creating it (0700) if it is not there.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be created or entered.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self::at(root);
        let target = store.target_dir();
        if !target.is_dir() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&target)
                .map_err(|e| StoreError::io("create", &target, e))?;
            for dir in [root.join("targets"), target] {
                if let Ok(opened) = unfollowed(OpenOptions::new().read(true)).open(&dir) {
                    give_to_owner_of(root, &opened);
                }
            }
        }
        let mode = fs::metadata(root).map_err(|e| StoreError::io("open", root, e))?.permissions().mode();
        if mode & 0o077 != 0 {
            // Names and addresses of controllers are nobody else's business.
            fs::set_permissions(root, fs::Permissions::from_mode(0o700))
                .map_err(|e| StoreError::io("protect", root, e))?;
        }
        Ok(store)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the target's files lie.
    pub fn target_dir(&self) -> PathBuf {
        self.root.join("targets/1")
    }

    /// The control socket of a running daemon.
    pub fn socket(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    /// The copy of the last configuration that was good.
    pub fn last_good_config(&self) -> PathBuf {
        self.root.join("config-last-good.toml")
    }

    /// Claims the directory for this process.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process holds it.
    pub fn lock(&self) -> Result<StoreLock, StoreError> {
        let path = self.root.join("lock");
        let file = unfollowed(OpenOptions::new().create(true).truncate(false).write(true).mode(0o600))
            .open(&path)
            .map_err(|e| StoreError::io("open", &path, e))?;
        give_to_owner_of(&self.root, &file);
        // SAFETY: the descriptor belongs to `file`, which outlives the call; flock touches no memory of ours.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            let error = io::Error::last_os_error();
            return Err(if error.kind() == io::ErrorKind::WouldBlock {
                StoreError::InUse(self.root.clone())
            } else {
                StoreError::io("lock", &path, error)
            });
        }
        Ok(StoreLock { _file: file })
    }

    /// A file's text; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub fn read(&self, path: &Path) -> Result<Option<String>, StoreError> {
        match fs::metadata(path) {
            Ok(meta) if meta.len() > MAX_FILE => {
                return Err(StoreError::Damaged { path: path.to_owned(), why: "far too long".into() });
            }
            _ => {}
        }
        match fs::read(path) {
            Ok(bytes) => String::from_utf8(bytes)
                .map(Some)
                .map_err(|_| StoreError::Damaged { path: path.to_owned(), why: "no text".into() }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("read", path, e)),
        }
    }

    /// Replaces a file, wholly or not at all.
    ///
    /// # Errors
    /// [`StoreError`]; the file is then as it was before.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        write_atomically(path, bytes)
    }

    /// Removes a file; whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be removed.
    pub fn remove(&self, path: &Path) -> Result<bool, StoreError> {
        match fs::remove_file(path) {
            Ok(()) => {
                sync_dir_of(path).map_err(|e| StoreError::io("sync the directory of", path, e))?;
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(StoreError::io("remove", path, e)),
        }
    }
}

/// Writes a file (0600) so that at every instant either the old or the new text is there.
///
/// # Errors
/// [`StoreError`]; the file is then as it was before.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write_with(path, bytes, |file| {
        if let Some(dir) = path.parent() {
            give_to_owner_of(dir, file);
        }
        Ok(())
    })
}

/// The same for a file that is not the daemon's alone: it gets owner and mode of `like`, and may be read by everybody if
/// there is no such file.
///
/// # Errors
/// [`StoreError`]; the file is then as it was before.
pub fn write_shared(path: &Path, like: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let before = fs::metadata(like).ok();
    write_with(path, bytes, |file| {
        let mode = before.as_ref().map_or(0o644, |before| before.mode() & 0o7777);
        if let Some(before) = &before {
            // Not possible on a boot partition, nor needed there; as another user the group at least may be kept.
            if std::os::unix::fs::fchown(file, Some(before.uid()), Some(before.gid())).is_err() {
                let _ = std::os::unix::fs::fchown(file, None, Some(before.gid()));
            }
        }
        file.set_permissions(fs::Permissions::from_mode(mode))
    })
}

fn write_with(path: &Path, bytes: &[u8], settle: impl Fn(&File) -> io::Result<()>) -> Result<(), StoreError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = path.with_file_name(name);
    let written = (|| {
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(bytes)?;
        settle(&file)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        sync_dir_of(path)
    })();
    written.map_err(|error| {
        let _ = fs::remove_file(&fresh);
        StoreError::io("write", path, error)
    })
}

/// Whoever owns the directory may have put a link there: root must not follow it.
pub(super) fn unfollowed(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(libc::O_NOFOLLOW)
}

/// What root creates in the daemon's directory belongs to the daemon, or it could not be read there later.
pub(super) fn give_to_owner_of(dir: &Path, file: &File) {
    if let (Ok(owner), Ok(now)) = (fs::metadata(dir), file.metadata())
        && (owner.uid(), owner.gid()) != (now.uid(), now.gid())
        && let Err(error) = std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))
    {
        tracing::debug!(dir = %dir.display(), %error, "owner not changed");
    }
}

fn sync_dir_of(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("state");
        let store = Store::open(&root).unwrap();
        assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
        let file = store.target_dir().join("x");
        assert_eq!(store.read(&file).unwrap(), None);
        store.write(&file, b"one").unwrap();
        store.write(&file, b"two").unwrap();
        assert_eq!(store.read(&file).unwrap().as_deref(), Some("two"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(store.target_dir()).unwrap().count(), 1, "no leftovers");
        assert!(store.remove(&file).unwrap());
        assert!(!store.remove(&file).unwrap());
    }

    #[test]
    fn a_write_that_fails_loses_nothing() {
        // A directory stands where the fresh file would be made: the rename is never reached.
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        write_atomically(&file, b"old").unwrap();
        let fresh = dir.path().join(format!("x.{}.new", std::process::id()));
        fs::create_dir(&fresh).unwrap();
        fs::write(fresh.join("in-the-way"), "").unwrap();
        let error = write_atomically(&file, b"new").unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot write {}", file.display())), "{error}");
        assert_eq!(fs::read(&file).unwrap(), b"old");
        let full = StoreError::io("write", &file, io::ErrorKind::StorageFull.into()).to_string();
        assert!(full.ends_with("make room on the disk, nothing was changed"), "{full}");
    }

    #[test]
    fn links_are_not_followed_and_looking_creates_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("state")).unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "x").unwrap();
        std::os::unix::fs::symlink(&victim, store.root().join("lock")).unwrap();
        assert!(matches!(store.lock(), Err(StoreError::Io { .. })));
        let nowhere = Store::at(&dir.path().join("nowhere"));
        assert_eq!(nowhere.read(&nowhere.last_good_config()).unwrap(), None);
        assert!(!nowhere.root().exists());
    }

    #[test]
    fn one_process_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let lock = store.lock().unwrap();
        assert!(matches!(store.lock(), Err(StoreError::InUse(_))));
        drop(lock);
        store.lock().unwrap();
    }
}
