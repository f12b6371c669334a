//! Feature reports through the kernel's hidraw node (kernel: Documentation/hid/hidraw.rst).
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use super::stick::FeatureReports;

/// An open `/dev/hidrawN`.
#[derive(Debug)]
pub struct Hidraw(File);

impl Hidraw {
    /// Opens a node.
    ///
    /// # Errors
    /// If it is not there or may not be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open(path).map(Self)
    }

    /// `_IOWR('H', number, char[length])`.
    fn call(&self, number: u32, report: &mut [u8]) -> io::Result<usize> {
        let request = (3 << 30) | ((report.len() as u32) << 16) | (u32::from(b'H') << 8) | number;
        // SAFETY: the request's number says how many bytes the kernel may read and write, which is the length of
        // `report`; it lives through the call.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, report.as_mut_ptr()) };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }
}

impl FeatureReports for Hidraw {
    /// HIDIOCSFEATURE.
    fn set(&mut self, report: &[u8]) -> io::Result<()> {
        self.call(6, &mut report.to_vec()).map(|_| ())
    }

    /// HIDIOCGFEATURE.
    fn get(&mut self, report: &mut [u8]) -> io::Result<usize> {
        self.call(7, report)
    }
}
