//! Descriptors that take the place of what was saved: of namespaces that exist, and standard files.

use std::os::fd::OwnedFd;

use corten_criu::rpc::{InheritFd, JoinNamespace, Options};
use rustix::fs::{Mode, OFlags};

use super::criu::Directory;
use super::dump::{DESCRIPTORS, EXTERNAL_NET, EXTERNAL_PID};
use super::options::Restore;
use crate::{Config, Error, Namespace, Result, plan};

/// Descriptors of CRIU's, from 4 on: 3 is its socket.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    pub(super) fds: Vec<OwnedFd>,
    pub(super) keys: Vec<InheritFd>,
}

impl Inherited {
    fn push(&mut self, key: String, fd: OwnedFd) {
        let number = i32::try_from(self.fds.len() + 4).unwrap_or(i32::MAX);
        self.fds.push(fd);
        self.keys.push(InheritFd { key, fd: number });
    }

    /// The namespaces that have a path: those of the network and of processes by descriptor, the others by path.
    pub(super) fn namespaces(&mut self, config: &Config, options: &mut Options) -> Result<()> {
        for (kind, path) in config.namespaces().iter() {
            let Some(path) = path else { continue };
            let name = match kind {
                Namespace::Net => EXTERNAL_NET,
                Namespace::Pid => EXTERNAL_PID,
                _ => {
                    let join =
                        JoinNamespace { kind: kind.proc_name().to_owned(), file: path.display().to_string() };
                    options.join_ns.push(join);
                    continue;
                }
            };
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let fd = rustix::fs::open(path, flags, Mode::empty())
                .map_err(|errno| Error::io(format!("open the {kind} namespace {}", path.display()), errno))?;
            self.push(name.to_owned(), fd);
        }
        Ok(())
    }

    /// The standard files in the place of those that the images name; what they are now.
    pub(super) fn standard_files(&mut self, request: &Restore, images: &Directory) -> Result<Vec<String>> {
        let path = images.path.join(DESCRIPTORS);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) => {
                return Err(Error::io(
                    format!("read {}: are these the images of a checkpoint?", path.display()),
                    error,
                ));
            }
        };
        let named: Vec<String> = serde_json::from_slice(&text)
            .map_err(|error| Error::invalid(format!("{}: {error}", path.display())))?;
        let files = plan::standard_files(&request.stdio)?;
        let now = plan::links_of(&files);
        for (key, file) in named.into_iter().zip(files) {
            let outside = key.starts_with("pipe:") || key.starts_with("file[");
            if outside && !self.keys.iter().any(|inherited| inherited.key == key) {
                self.push(key, file);
            }
        }
        Ok(now)
    }
}
