//! Landlock: what programs may no longer do, whoever they run as (landlock(7)).
//!
//! The OCI specification has no such field yet; this one has the form of its open proposal
//! (opencontainers/runtime-spec, pull request 1241) and its names, with the kernel's for what the proposal does not cover.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The annotation of a `config.json` that holds a [`Landlock`] as JSON, until the specification has `process.landlock`.
pub(crate) const ANNOTATION: &str = "org.corten.process.landlock";

/// What a program, and all that it starts, may no longer do (landlock(7)).
///
/// What the ruleset handles is denied everywhere but where a rule allows it. A right that this machine's kernel does not
/// know is an error, so that nothing is left open that was to be closed, unless [`best_effort`](Self::best_effort) says otherwise.
///
/// ```
/// use corten::{Landlock, LandlockPath, LandlockRules, LandlockRuleset};
///
/// let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
/// let landlock = Landlock {
///     ruleset: LandlockRuleset {
///         handled_access_fs: names(&["write_file", "make_reg", "make_dir"]),
///         handled_access_net: names(&["bind_tcp"]),
///         ..LandlockRuleset::default()
///     },
///     rules: LandlockRules {
///         path_beneath: vec![LandlockPath {
///             allowed_access: names(&["write_file", "make_reg"]),
///             paths: names(&["/tmp"]),
///         }],
///         ..LandlockRules::default()
///     },
///     ..Landlock::default()
/// };
/// # corten::Config::builder("/rootfs").no_new_privileges(true).landlock(landlock).build()?;
/// # Ok::<(), corten::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Landlock {
    /// What is denied by default.
    pub ruleset: LandlockRuleset,
    /// What is allowed all the same.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rules: LandlockRules,
    /// Whether rights that the kernel does not know are done without, with a warning that names them; else they are an
    /// error. In a document it is the proposal's `"disableBestEffort": false`, which must be said.
    #[serde(
        default,
        rename = "disableBestEffort",
        with = "inverted",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub best_effort: bool,
}

/// What a Landlock ruleset denies by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LandlockRuleset {
    /// Rights on files: `execute`, `write_file`, `read_file`, `read_dir`, `remove_dir`, `remove_file`, `make_char`, `make_dir`,
    /// `make_reg`, `make_sock`, `make_fifo`, `make_block`, `make_sym`, `refer` (ABI 2), `truncate` (ABI 3), `ioctl_dev` (ABI 5),
    /// `resolve_unix` (ABI 9).
    #[serde(default, rename = "handledAccessFS", skip_serializing_if = "Vec::is_empty")]
    pub handled_access_fs: Vec<String>,
    /// Rights on the network: `bind_tcp`, `connect_tcp` (ABI 4), `bind_udp`, `connect_send_udp` (ABI 10).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handled_access_net: Vec<String>,
    /// What is confined to the program and its children, since ABI 6: `abstract_unix_socket`, `signal`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scoped: Vec<String>,
}

/// What a Landlock ruleset allows all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LandlockRules {
    /// For files and directories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path_beneath: Vec<LandlockPath>,
    /// For ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub net_port: Vec<LandlockPort>,
}

/// Rights on files, and on directories with all that is beneath them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LandlockPath {
    /// Some of the ruleset's `handled_access_fs`.
    pub allowed_access: Vec<String>,
    /// Absolute paths inside the container, which must exist when its root file system is ready. What they lead to then is
    /// what the rule is for.
    pub paths: Vec<String>,
}

/// Rights on ports of TCP and UDP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LandlockPort {
    /// Some of the ruleset's `handled_access_net`.
    pub allowed_access: Vec<String>,
    /// The ports; for binding, 0 is any that the kernel chooses.
    pub ports: Vec<u16>,
}

/// A right: name, bit, and the version of the kernel's interface from which it is known (linux/landlock.h).
pub(crate) type Right = (&'static str, u64, u32);

/// Rights on files.
pub(crate) const FS: [Right; 17] = [
    ("execute", 1 << 0, 1),
    ("write_file", 1 << 1, 1),
    ("read_file", 1 << 2, 1),
    ("read_dir", 1 << 3, 1),
    ("remove_dir", 1 << 4, 1),
    ("remove_file", 1 << 5, 1),
    ("make_char", 1 << 6, 1),
    ("make_dir", 1 << 7, 1),
    ("make_reg", 1 << 8, 1),
    ("make_sock", 1 << 9, 1),
    ("make_fifo", 1 << 10, 1),
    ("make_block", 1 << 11, 1),
    ("make_sym", 1 << 12, 1),
    ("refer", 1 << 13, 2),
    ("truncate", 1 << 14, 3),
    ("ioctl_dev", 1 << 15, 5),
    ("resolve_unix", 1 << 16, 9),
];

/// Rights on the network.
pub(crate) const NET: [Right; 4] = [
    ("bind_tcp", 1 << 0, 4),
    ("connect_tcp", 1 << 1, 4),
    ("bind_udp", 1 << 2, 10),
    ("connect_send_udp", 1 << 3, 10),
];

/// Scopes.
pub(crate) const SCOPED: [Right; 2] = [("abstract_unix_socket", 1 << 0, 6), ("signal", 1 << 1, 6)];

impl Landlock {
    /// The ruleset that an annotation holds.
    pub(super) fn from_annotation(json: &str) -> Result<Self> {
        serde_json::from_str(json)
            .map_err(|error| Error::invalid(format!("annotation {ANNOTATION}: {error}")))
    }

    /// Refuses what cannot be, on any kernel.
    pub(super) fn validate(&self) -> Result<()> {
        let Self { ruleset, rules, best_effort: _ } = self;
        let LandlockRuleset { handled_access_fs, handled_access_net, scoped } = ruleset;
        let LandlockRules { path_beneath, net_port } = rules;
        known("handledAccessFS", handled_access_fs, &FS)?;
        known("handledAccessNet", handled_access_net, &NET)?;
        known("scoped", scoped, &SCOPED)?;
        if handled_access_fs.is_empty() && handled_access_net.is_empty() && scoped.is_empty() {
            return Err(Error::invalid(
                "landlock: the ruleset handles no access right, so it restricts nothing",
            ));
        }
        for LandlockPath { allowed_access, paths } in path_beneath {
            rule("pathBeneath", allowed_access, paths.is_empty(), handled_access_fs)?;
            if let Some(path) = paths.iter().find(|path| !path.starts_with('/')) {
                return Err(Error::invalid(format!("landlock: {path:?} is not an absolute path")));
            }
        }
        for LandlockPort { allowed_access, ports } in net_port {
            rule("netPort", allowed_access, ports.is_empty(), handled_access_net)?;
        }
        Ok(())
    }
}

fn known(field: &str, names: &[String], rights: &[Right]) -> Result<()> {
    match names.iter().find(|name| !rights.iter().any(|(known, _, _)| known == name)) {
        Some(name) => Err(Error::invalid(format!("landlock: {field} has no access right {name:?}"))),
        None => Ok(()),
    }
}

/// A rule is for something, and allows some of what is handled.
fn rule(field: &str, allowed: &[String], for_nothing: bool, handled: &[String]) -> Result<()> {
    if for_nothing || allowed.is_empty() {
        return Err(Error::invalid(format!(
            "landlock: a rule of {field} allows nothing, or nothing to anything"
        )));
    }
    match allowed.iter().find(|name| !handled.contains(name)) {
        Some(name) => Err(Error::invalid(format!(
            "landlock: a rule of {field} allows {name:?}, which the ruleset does not handle"
        ))),
        None => Ok(()),
    }
}

/// A flag of a document that means the contrary of ours.
mod inverted {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(yes: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(!yes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
        bool::deserialize(deserializer).map(|yes| !yes)
    }
}

fn is_default(rules: &LandlockRules) -> bool {
    *rules == LandlockRules::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_the_proposals_form() {
        let text = r#"{"ruleset":{"handledAccessFS":["execute","write_file"],"handledAccessNet":["bind_tcp"],"scoped":["signal"]},
            "rules":{"pathBeneath":[{"allowedAccess":["execute"],"paths":["/bin","/lib"]}],
            "netPort":[{"allowedAccess":["bind_tcp"],"ports":[80,65535]}]},"disableBestEffort":false}"#;
        let landlock = Landlock::from_annotation(text).unwrap();
        landlock.validate().unwrap();
        assert_eq!(landlock.rules.net_port[0].ports, [80, 65535]);
        assert!(landlock.best_effort);
        let strict =
            Landlock::from_annotation(r#"{"ruleset":{"scoped":["signal"]},"disableBestEffort":true}"#)
                .unwrap();
        assert!(!strict.best_effort);
        let again = serde_json::to_value(&landlock).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let cases = [
            (r#"{"ruleset":{}}"#, "handles no access right"),
            (r#"{"ruleset":{"handledAccessFS":["fly"]}}"#, r#"handledAccessFS has no access right "fly""#),
            (r#"{"ruleset":{"handledAccessNet":["execute"]}}"#, r#"no access right "execute""#),
            (r#"{"ruleset":{"scoped":["ptrace"]}}"#, r#"scoped has no access right "ptrace""#),
            (r#"{"ruleset":{"handledAccessFs":["execute"]}}"#, "unknown field `handledAccessFs`"),
            (r#"{"rules":{}}"#, "missing field `ruleset`"),
            (
                r#"{"ruleset":{"scoped":["signal"]},"rules":{"netPort":[{"allowedAccess":["bind_tcp"],"ports":[1]}]}}"#,
                "does not handle",
            ),
            (
                r#"{"ruleset":{"scoped":["signal"]},"rules":{"netPort":[{"allowedAccess":["bind_tcp"],"ports":[65536]}]}}"#,
                "65536",
            ),
            (
                r#"{"ruleset":{"handledAccessFS":["execute"]},"rules":{"pathBeneath":[{"allowedAccess":["execute"],"paths":["bin"]}]}}"#,
                "not an absolute path",
            ),
            (
                r#"{"ruleset":{"handledAccessFS":["execute"]},"rules":{"pathBeneath":[{"allowedAccess":[],"paths":["/"]}]}}"#,
                "allows nothing",
            ),
        ];
        for (text, expected) in cases {
            let error = Landlock::from_annotation(text).and_then(|landlock| landlock.validate()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
