//! `corten checkpoint`.

use std::io::{IsTerminal, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use corten::{Archive, CgroupMode, Cost, Error, Id, NetworkLock, Progress, Runtime};

use crate::archive::Export;
use crate::error::{self, Result};

/// Save what a container is doing, by CRIU, and end it
///
/// The images hold all that is in the container's memory. `corten restore` brings it back from them.
#[derive(Debug, clap::Args)]
pub struct Checkpoint {
    /// The container
    #[arg(value_name = "CONTAINER")]
    id: String,
    /// Directory of the images [default: ./checkpoint]
    #[arg(long, value_name = "DIRECTORY")]
    image_path: Option<PathBuf>,
    /// Archive to put the images and the configuration in, for this or another machine; the root file system is not in it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pre_dump", "lazy_pages", "page_server"])]
    export: Option<PathBuf>,
    /// Directory of CRIU's log and statistics [default: that of the images]
    #[arg(long, value_name = "DIRECTORY")]
    work_path: Option<PathBuf>,
    /// Images of an earlier pre-dump, relative to the image path
    #[arg(long, value_name = "DIRECTORY")]
    parent_path: Option<PathBuf>,
    /// Let the container go on afterwards
    #[arg(long)]
    leave_running: bool,
    /// Save established TCP connections
    #[arg(long)]
    tcp_established: bool,
    /// Leave out TCP connections that are being made
    #[arg(long)]
    tcp_skip_in_flight: bool,
    /// Leave out established TCP connections; they come back closed
    #[arg(long, conflicts_with = "tcp_established")]
    tcp_close: bool,
    /// Give deleted files that have other names a name again
    #[arg(long)]
    link_remap: bool,
    /// Save Unix datagram sockets that are connected to a named one outside
    #[arg(long)]
    ext_unix_sk: bool,
    /// Save a container whose session or terminal is the caller's
    #[arg(long)]
    shell_job: bool,
    /// Serve the memory from here after the restore, at the address of --page-server
    #[arg(long)]
    lazy_pages: bool,
    /// File descriptor that gets a zero byte when lazy pages can be asked for
    #[arg(long, value_name = "FD")]
    pub status_fd: Option<i32>,
    /// Page server that takes the memory
    #[arg(long, value_name = "ADDRESS:PORT")]
    page_server: Option<String>,
    /// Save file locks
    #[arg(long)]
    file_locks: bool,
    /// Save the memory alone, and let the container go on
    #[arg(long)]
    pre_dump: bool,
    /// How control groups are saved: soft, full, strict or ignore
    #[arg(long, value_name = "MODE")]
    manage_cgroups_mode: Option<String>,
    /// Save a namespace of this kind without what is in it: network, which is the default
    #[arg(long, value_name = "KIND")]
    empty_ns: Vec<String>,
    /// Save the interfaces, addresses and rules of the container's own network namespace, too
    #[arg(long, conflicts_with = "empty_ns")]
    keep_network: bool,
    /// Punch memory that is saved again out of the parent's images
    #[arg(long)]
    auto_dedup: bool,
    /// How connections are kept from the network meanwhile: iptables, nftables or skip
    #[arg(long, value_name = "METHOD")]
    network_lock: Option<String>,
}

/// Where the images are by default.
pub fn image_path(given: Option<&Path>) -> Result<PathBuf> {
    let path = given.unwrap_or(Path::new("checkpoint"));
    std::path::absolute(path)
        .map_err(|source| error::Error::System { what: format!("find {}", path.display()), source })
}

/// Whether the network namespace is to be empty; there is no other that can be. As with runc it is, unless that is asked for: an engine
/// that put interfaces there does so again.
pub fn empty_network(kinds: &[String], keep: bool) -> Result<bool> {
    match kinds.iter().flat_map(|kinds| kinds.split(',')).find(|kind| *kind != "network") {
        Some(other) => {
            Err(error::Error::usage(format!("namespace {other:?} is not supported by --empty-ns")))
        }
        None => Ok(!keep),
    }
}

impl Checkpoint {
    fn request(&self, images: &Path, status: Option<OwnedFd>) -> Result<corten::Checkpoint<'_>> {
        let mut request = corten::Checkpoint::new(images)
            .leave_running(self.leave_running)
            .tcp_established(self.tcp_established)
            .tcp_skip_in_flight(self.tcp_skip_in_flight)
            .tcp_close(self.tcp_close)
            .link_remap(self.link_remap)
            .external_unix_sockets(self.ext_unix_sk)
            .shell_job(self.shell_job)
            .lazy_pages(self.lazy_pages)
            .file_locks(self.file_locks)
            .pre_dump(self.pre_dump)
            .empty_network(empty_network(&self.empty_ns, self.keep_network)?)
            .auto_dedup(self.auto_dedup);
        if let Some(path) = &self.work_path {
            request = request.work_directory(path);
        }
        if let Some(path) = &self.parent_path {
            request = request.parent_image(path);
        }
        if let Some(server) = &self.page_server {
            let (address, port) = page_server(server)?;
            request = request.page_server(address, port);
        }
        if let Some(mode) = &self.manage_cgroups_mode {
            request = request.manage_cgroups(CgroupMode::try_from(mode.as_str())?);
        }
        if let Some(method) = &self.network_lock {
            request = request.network_lock(NetworkLock::try_from(method.as_str())?);
        }
        if let Some(status) = status {
            request = request.status_fd(status);
        }
        Ok(request)
    }
}

/// The last colon divides: the address may have others (IPv6).
fn page_server(text: &str) -> Result<(String, u16)> {
    let wrong = || {
        error::Error::usage(format!("--page-server {text:?}: use ADDRESS:PORT to specify the page server"))
    };
    let (address, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    if address.is_empty() { Err(wrong()) } else { Ok((address.to_owned(), port)) }
}

/// Runs the command. `status` is the descriptor of `--status-fd`.
pub fn run(runtime: &Runtime, status: Option<OwnedFd>, arguments: &Checkpoint) -> Result<i32> {
    let container = runtime.load(&Id::try_from(arguments.id.as_str())?)?;
    let export = arguments.export.as_deref();
    if let (Some(_), Some(parent)) = (export, &arguments.parent_path) {
        check_parents(arguments.image_path.as_deref(), parent)?;
    }
    let export = export.map(|path| Export::new(path, arguments.image_path.as_deref())).transpose()?;
    let own = export.as_ref().and_then(Export::images);
    let images = image_path(own.or(arguments.image_path.as_deref()))?;
    let mut request = arguments.request(&images, status)?;
    let display = Display::new();
    if std::io::stderr().is_terminal() {
        request = request.on_progress(|progress| display.progress(progress));
    }
    let done = container.checkpoint(request);
    display.end(&done);
    done?;
    let exported = export.map_or(Ok(()), |export| export.write(&container, &images));
    if arguments.leave_running || arguments.pre_dump {
        return exported.map(|()| 0);
    }
    container.destroy().map_err(Error::from)?;
    exported.map(|()| 0)
}

/// Refuses pre-dumps that no archive can hold, as long as the container runs.
fn check_parents(images: Option<&Path>, parent: &Path) -> Result<()> {
    let Some(images) = images else {
        let words = "--export with --parent-path needs --image-path, which the parent is relative to";
        return Err(error::Error::usage(words));
    };
    let mut place = images.join(parent);
    for _ in 0..Archive::MOST_PRE_DUMPS {
        place.push("parent");
        if !place.is_dir() {
            return Ok(());
        }
    }
    Err(error::Error::usage(format!(
        "--export: an archive cannot hold more than {} pre-dumps: checkpoint without --parent-path",
        Archive::MOST_PRE_DUMPS
    )))
}

/// What a person sees on a terminal of a checkpoint; a small one is done before there is anything to show.
struct Display {
    start: Instant,
    shown: AtomicBool,
}

const MIB: u64 = 1 << 20;

impl Display {
    fn new() -> Self {
        Self { start: Instant::now(), shown: AtomicBool::new(false) }
    }

    fn progress(&self, progress: Progress) {
        let (written, resident) = (progress.written / MIB, progress.resident / MIB);
        if written < 64 && !self.shown.load(Ordering::Relaxed) {
            return;
        }
        self.shown.store(true, Ordering::Relaxed);
        let seconds = self.start.elapsed().as_secs();
        self.write(&format!("{written} MiB saved of up to {resident} MiB, {seconds} s"));
    }

    /// The last line, which stays.
    fn end(&self, done: &corten::Result<Cost>) {
        if !self.shown.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(Cost { frozen, written, .. }) = done {
            let seconds = self.start.elapsed().as_secs_f64();
            let written = written.map_or("memory".to_owned(), |written| format!("{} MiB", written / MIB));
            let frozen = frozen.map_or_else(String::new, |frozen| {
                format!("; the container stood still for {:.3} s", frozen.as_secs_f64())
            });
            self.write(&format!("{written} saved in {seconds:.1} s{frozen}"));
        }
        let _ = writeln!(std::io::stderr());
    }

    /// Whoever cannot see it needs no error.
    fn write(&self, line: &str) {
        let _ = write!(std::io::stderr(), "\r{line}\x1b[K");
        let _ = std::io::stderr().flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_server_has_an_address_and_a_port() {
        assert_eq!(page_server("10.0.0.1:99").unwrap(), ("10.0.0.1".to_owned(), 99));
        assert_eq!(page_server("[::1]:99").unwrap(), ("::1".to_owned(), 99));
        for wrong in ["", "host", "host:", ":99", "host:0", "host:x", "host:70000"] {
            assert!(page_server(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn as_many_pre_dumps_as_an_archive_holds() {
        let place = std::env::temp_dir().join(format!("corten-test-parents-{}", std::process::id()));
        let mut parents = place.join("0");
        (1..Archive::MOST_PRE_DUMPS).for_each(|_| parents.push("parent"));
        std::fs::create_dir_all(&parents).unwrap();
        let check = || check_parents(Some(&place.join("1")), Path::new("../0"));
        std::fs::create_dir(place.join("1")).unwrap();
        assert!(check().is_ok() && check_parents(None, Path::new("../0")).is_err());
        std::fs::create_dir(parents.join("parent")).unwrap();
        assert!(check().unwrap_err().to_string().contains("more than 20 pre-dumps"));
        std::fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn only_a_network_can_be_empty() {
        assert!(empty_network(&["network".to_owned()], false).unwrap());
        assert!(empty_network(&[], false).unwrap());
        assert!(!empty_network(&[], true).unwrap());
        assert!(empty_network(&["network,ipc".to_owned()], false).is_err());
    }
}
