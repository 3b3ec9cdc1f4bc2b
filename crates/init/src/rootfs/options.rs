//! Mount options in the words of mount(8), and what they mean to the kernel (specification: `config.md#mounts`).

use corten_sys::mount::{Attributes, Propagation};

use super::idmap::Wish;
use crate::{Failure, Result};

/// What the options of one mount say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// `bind`, or `rbind` with `Some(true)`.
    pub(super) bind: Option<bool>,
    /// Attributes that are asked for.
    pub(super) set: Attributes,
    /// Attributes that are asked to be off.
    pub(super) clear: Attributes,
    /// The same for the mounts below as well.
    pub(super) recursive_set: Attributes,
    pub(super) recursive_clear: Attributes,
    /// Propagation, and whether for the mounts below as well, in order.
    pub(super) propagation: Vec<(Propagation, bool)>,
    /// Whether the directory's contents are copied into the tmpfs over it.
    pub(super) copy_up: bool,
    /// Whether owners are mapped.
    pub(super) idmap: Option<Wish>,
    /// Flags of the file system itself, by the name that fsconfig(2) knows.
    pub(super) flags: Vec<String>,
    /// What the file system itself understands.
    pub(super) data: Vec<String>,
}

type Attribute = (&'static str, Attributes, Attributes);

const NONE: Attributes = Attributes::empty();

/// Options that set (second column) and clear (third column) attributes; with `r` before them the mounts below as well.
const ATTRIBUTES: [Attribute; 18] = [
    ("ro", Attributes::RDONLY, NONE),
    ("rw", NONE, Attributes::RDONLY),
    ("nosuid", Attributes::NOSUID, NONE),
    ("suid", NONE, Attributes::NOSUID),
    ("nodev", Attributes::NODEV, NONE),
    ("dev", NONE, Attributes::NODEV),
    ("noexec", Attributes::NOEXEC, NONE),
    ("exec", NONE, Attributes::NOEXEC),
    ("nodiratime", Attributes::NODIRATIME, NONE),
    ("diratime", NONE, Attributes::NODIRATIME),
    ("noatime", Attributes::NOATIME, Attributes::ATIME),
    ("atime", NONE, Attributes::ATIME),
    ("relatime", NONE, Attributes::ATIME),
    ("norelatime", NONE, Attributes::ATIME),
    ("strictatime", Attributes::STRICTATIME, Attributes::ATIME),
    ("nostrictatime", NONE, Attributes::ATIME),
    ("nosymfollow", Attributes::NOSYMFOLLOW, NONE),
    ("symfollow", NONE, Attributes::NOSYMFOLLOW),
];

const PROPAGATION: [(&str, Propagation); 4] = [
    ("shared", Propagation::Shared),
    ("slave", Propagation::Slave),
    ("private", Propagation::Private),
    ("unbindable", Propagation::Unbindable),
];

/// Flags of the file system itself: option, and what fsconfig(2) calls it. An empty name changes nothing.
const FLAGS: [(&str, &str); 15] = [
    ("defaults", ""),
    ("sync", "sync"),
    ("async", ""),
    ("dirsync", "dirsync"),
    ("mand", "mand"),
    ("nomand", ""),
    ("lazytime", "lazytime"),
    ("nolazytime", ""),
    ("iversion", "iversion"),
    ("noiversion", ""),
    ("silent", "silent"),
    ("loud", ""),
    ("acl", "acl"),
    ("noacl", "noacl"),
    ("remount", ""),
];

/// Every option that is known by name, for `features`.
pub fn known_mount_options() -> Vec<&'static str> {
    let recursive =
        ["rro", "rrw", "rnosuid", "rsuid", "rnodev", "rdev", "rnoexec", "rexec", "rnodiratime", "rdiratime"]
            .into_iter()
            .chain(["rnoatime", "ratime", "rrelatime", "rnorelatime", "rstrictatime", "rnostrictatime"])
            .chain(["rnosymfollow", "rsymfollow", "rshared", "rslave", "rprivate", "runbindable"]);
    let mut known: Vec<_> = ATTRIBUTES.iter().map(|(name, _, _)| *name).chain(recursive).collect();
    known.extend(PROPAGATION.iter().map(|(name, _)| *name));
    known.extend(FLAGS.iter().map(|(name, _)| *name).filter(|name| *name != "remount"));
    known.extend(["bind", "rbind", "tmpcopyup", "idmap", "ridmap"]);
    known.sort_unstable();
    known
}

impl Options {
    /// Reads the options of a mount; later ones win.
    pub(super) fn parse(options: &[String]) -> Result<Self> {
        let mut parsed = Self::default();
        for option in options {
            parsed.add(option)?;
        }
        Ok(parsed)
    }

    fn add(&mut self, option: &str) -> Result<()> {
        let attribute = |name: &str| ATTRIBUTES.iter().find(|(known, _, _)| *known == name);
        let propagation =
            |name: &str| PROPAGATION.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let below = option.strip_prefix('r');
        match option {
            "bind" => self.bind = Some(self.bind.unwrap_or(false)),
            "rbind" => self.bind = Some(true),
            "tmpcopyup" => self.copy_up = true,
            "remount" => {
                return Err(Failure::invalid("mount option \"remount\" makes no sense in a configuration"));
            }
            _ if let Some(wish) = Wish::parse(option) => self.idmap = Some(wish),
            _ if let Some((_, set, clear)) = attribute(option) => {
                apply(&mut self.set, &mut self.clear, *set, *clear);
            }
            _ if let Some(kind) = propagation(option) => self.propagation.push((kind, false)),
            _ if let Some((_, flag)) = FLAGS.iter().find(|(known, _)| *known == option) => {
                if !flag.is_empty() {
                    self.flags.push((*flag).to_owned());
                }
            }
            _ if let Some((_, set, clear)) = below.and_then(attribute) => {
                apply(&mut self.recursive_set, &mut self.recursive_clear, *set, *clear);
            }
            _ if let Some(kind) = below.and_then(propagation) => self.propagation.push((kind, true)),
            _ => self.data.push(option.to_owned()),
        }
        Ok(())
    }
}

fn apply(all_set: &mut Attributes, all_clear: &mut Attributes, set: Attributes, clear: Attributes) {
    all_set.remove(clear);
    all_clear.remove(set - Attributes::ATIME);
    all_set.insert(set);
    all_clear.insert(clear);
}
