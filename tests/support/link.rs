//! A slow, lossy line in user space: two network namespaces, each with a TUN device, and two threads that carry packets
//! from one to the other at a rate, with a delay, a seeded loss and a bounded queue. Needs root, `ip` and /dev/net/tun.
#![allow(unsafe_code, reason = "unshare(2), ioctl(2) of TUN devices and poll(2)")]
#![allow(clippy::disallowed_methods, reason = "packets are carried in real time")]

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Address of the device's end.
pub const DEVICE: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
/// Address of the controller's end.
pub const CONTROLLER: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);

/// What the line is like, in each direction.
#[derive(Debug, Clone, Copy)]
pub struct Quality {
    /// Bits a second.
    pub rate: u64,
    /// From one end to the other, beside the time that the rate takes.
    pub delay: Duration,
    /// Lost packets of 10 000.
    pub loss: u64,
    /// Bytes that wait at most; more are lost.
    pub queue: usize,
}

/// The line. Dropping it ends its threads; the namespaces go with the last thread inside.
pub struct Line {
    rate: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    carriers: Vec<JoinHandle<()>>,
    to_device: mpsc::Sender<Job>,
    to_controller: mpsc::Sender<Job>,
    ends: Vec<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Line {
    /// Lays the line.
    ///
    /// # Errors
    /// Why it cannot be laid here, for a test to say that it is skipped.
    pub fn lay(quality: Quality, seed: u64) -> Result<Self, String> {
        // SAFETY: geteuid has no preconditions.
        if unsafe { libc::geteuid() } != 0 {
            return Err("network namespaces need root".into());
        }
        let (to_device, device, device_end) = end(DEVICE)?;
        let (to_controller, controller, controller_end) = end(CONTROLLER)?;
        let rate = Arc::new(AtomicU64::new(quality.rate));
        let stop = Arc::new(AtomicBool::new(false));
        let twin = |file: &File| file.try_clone().map_err(|e| e.to_string());
        let ways = [(twin(&device)?, twin(&controller)?), (controller, device)];
        let carriers = ways.into_iter().zip(0..).map(|((from, to), n)| {
            let (rate, stop) = (rate.clone(), stop.clone());
            let carrier =
                Carrier { from, to, quality, rate, random: seed + n, queue: VecDeque::new(), waiting: 0 };
            std::thread::spawn(move || carrier.run(&stop))
        });
        let carriers = carriers.collect();
        Ok(Self { rate, stop, carriers, to_device, to_controller, ends: vec![device_end, controller_end] })
    }

    /// From now on the line has this rate, in bits a second.
    pub fn set_rate(&self, bits_per_second: u64) {
        self.rate.store(bits_per_second, Ordering::Relaxed);
    }

    /// Runs something in the device's namespace; threads that it starts stay there.
    pub fn at_device<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        run_in(&self.to_device, job)
    }

    /// Runs something in the controller's namespace.
    pub fn at_controller<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        run_in(&self.to_controller, job)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        (self.to_device, self.to_controller) = (mpsc::channel().0, mpsc::channel().0);
        for thread in self.carriers.drain(..).chain(self.ends.drain(..)) {
            let _ = thread.join();
        }
    }
}

fn run_in<T: Send + 'static>(end: &mpsc::Sender<Job>, job: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, answer) = mpsc::channel();
    end.send(Box::new(move || drop(sender.send(job())))).unwrap();
    answer.recv().expect("the job came to its end")
}

/// A thread in a namespace of its own with one TUN device.
fn end(address: Ipv4Addr) -> Result<(mpsc::Sender<Job>, File, JoinHandle<()>), String> {
    let (jobs, to_do) = mpsc::channel::<Job>();
    let (laid, is_laid) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let tun = open(address);
        let is_open = tun.is_ok();
        let _ = laid.send(tun);
        if is_open {
            to_do.into_iter().for_each(|job| job());
        }
    });
    let tun = is_laid.recv().map_err(|_| "the namespace could not be made".to_owned())??;
    Ok((jobs, tun, thread))
}

fn open(address: Ipv4Addr) -> Result<File, String> {
    // SAFETY: concerns this thread alone.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(format!("no network namespace: {}", std::io::Error::last_os_error()));
    }
    let tun = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .map_err(|e| format!("no TUN device (/dev/net/tun): {e}"))?;
    let mut request = [0u8; 40];
    request[..4].copy_from_slice(b"line");
    let flags = (libc::IFF_TUN | libc::IFF_NO_PI) as u16;
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: the descriptor is open, and the request is as long as `struct ifreq` (40 bytes).
    if unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as _, request.as_mut_ptr()) } != 0 {
        return Err(format!("no TUN device: {}", std::io::Error::last_os_error()));
    }
    for args in [
        format!("addr add {address}/24 dev line"),
        "link set line mtu 1500 up".into(),
        "link set lo up".into(),
    ] {
        let done = Command::new("ip").args(args.split(' ')).output();
        let done = done.map_err(|_| "the program `ip` (iproute2) is not installed".to_owned())?;
        if !done.status.success() {
            return Err(format!("ip {args}: {}", String::from_utf8_lossy(&done.stderr)));
        }
    }
    Ok(tun)
}

/// One direction.
struct Carrier {
    from: File,
    to: File,
    quality: Quality,
    rate: Arc<AtomicU64>,
    random: u64,
    /// When each packet has left the queue, and the packet.
    queue: VecDeque<(Instant, Vec<u8>)>,
    /// Bytes that have not left yet.
    waiting: usize,
}

impl Carrier {
    fn run(mut self, stop: &AtomicBool) {
        let mut packet = vec![0; 2000];
        let mut on_the_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let mut free_at = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            while self.queue.front().is_some_and(|(at, _)| *at <= now) {
                let Some((at, packet)) = self.queue.pop_front() else { break };
                self.waiting -= packet.len();
                on_the_way.push_back((at + self.quality.delay, packet));
                // The next one begins only now, at the rate of now.
                if let Some((leaves, next)) = self.queue.front_mut() {
                    let bits = next.len() as f64 * 8.0;
                    *leaves = at + Duration::from_secs_f64(bits / self.rate.load(Ordering::Relaxed) as f64);
                    free_at = *leaves;
                }
            }
            while on_the_way.front().is_some_and(|(at, _)| *at <= now) {
                let Some((_, packet)) = on_the_way.pop_front() else { break };
                // An end that is gone takes nothing.
                let _ = self.to.write(&packet);
            }
            let next = self.queue.front().into_iter().chain(on_the_way.front()).map(|(at, _)| *at).min();
            let left = next.map_or(50_000, |at| at.saturating_duration_since(now).as_micros());
            let wait = left.div_ceil(1000).min(50) as i32;
            let mut polled = libc::pollfd { fd: self.from.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid pollfd.
            if unsafe { libc::poll(&mut polled, 1, wait) } != 1 || polled.revents & libc::POLLIN == 0 {
                continue;
            }
            let Ok(len) = self.from.read(&mut packet) else { continue };
            if self.is_lost() || self.waiting + len > self.quality.queue {
                continue;
            }
            self.waiting += len;
            let now = Instant::now();
            if self.queue.is_empty() {
                let bits = len as f64 * 8.0;
                let begins = free_at.max(now);
                free_at = begins + Duration::from_secs_f64(bits / self.rate.load(Ordering::Relaxed) as f64);
            }
            self.queue.push_back((free_at, packet[..len].to_vec()));
        }
    }

    /// SplitMix64.
    fn is_lost(&mut self) -> bool {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % 10_000 < self.quality.loss
    }
}
