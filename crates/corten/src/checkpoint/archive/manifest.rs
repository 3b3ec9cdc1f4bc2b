//! What an archive holds, and whether it fits a machine.

use corten_cgroups::Layout;
use corten_criu::Version;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The first file: what the archive holds.
pub(super) const MANIFEST: &str = "corten-checkpoint.json";

/// The second: the container's configuration.
pub(super) const CONFIG: &str = "config.json";

/// The directory of CRIU's images.
pub(super) const IMAGES: &str = "images/";

/// How CRIU finds the images of the pre-dump before: a name beside them. In an archive it is a directory, and the name of an
/// image begins with it as often as it is a pre-dump back.
pub(super) const PARENT: &str = "parent/";

/// As many pre-dumps can be in an archive.
pub(super) const MOST_PARENTS: usize = 20;

/// What the manifest's form is called; another form gets another number.
pub(super) const VERSION: u32 = 1;

/// The first file of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) version: u32,
    /// The container's id.
    pub(super) id: String,
    /// Whether its first program had a terminal.
    pub(super) terminal: bool,
    pub(super) machine: Machine,
    pub(super) images: Vec<Image>,
}

/// A file of CRIU's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Image {
    /// Its path among the images.
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
}

/// What a machine has that a restore depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Machine {
    /// As Rust calls it: `x86_64`.
    architecture: String,
    /// Bytes.
    page_size: u64,
    /// The kernel's release. An older one is warned of.
    pub(super) kernel: String,
    /// The version of CRIU.
    criu: String,
    cgroups: Cgroups,
    /// What its processor can do beyond what all of this architecture can, as the kernel calls it.
    processor: Vec<String>,
}

/// The control groups that limit containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Cgroups {
    V1,
    V2,
}

impl Machine {
    pub(super) fn this(criu: Version) -> Result<Self> {
        let unified = Layout::detect()?.is_unified();
        let cpuinfo =
            std::fs::read_to_string(CPUINFO).map_err(|error| Error::io(format!("read {CPUINFO}"), error))?;
        Ok(Self {
            architecture: std::env::consts::ARCH.to_owned(),
            page_size: rustix::param::page_size() as u64,
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            criu: criu.to_string(),
            cgroups: if unified { Cgroups::V2 } else { Cgroups::V1 },
            processor: processor(&cpuinfo),
        })
    }

    /// Why what was saved on this machine cannot go on there.
    pub(super) fn misfit(&self, there: &Self) -> Option<String> {
        let version = |machine: &Self| Version::parse(&format!("Version: {}", machine.criu));
        if self.architecture != there.architecture {
            return Some(format!(
                "its programs are for {}, and this is {}",
                self.architecture, there.architecture
            ));
        }
        if self.page_size != there.page_size {
            return Some(format!("its pages have {} bytes, and here {}", self.page_size, there.page_size));
        }
        match (version(self), version(there)) {
            (Some(then), Some(now)) if then <= now => {}
            _ => {
                return Some(format!(
                    "criu {} has made it, and here is criu {}, which is older",
                    self.criu, there.criu
                ));
            }
        }
        if self.cgroups != there.cgroups {
            return Some("its control groups are of another version than those here".to_owned());
        }
        // Programs choose by what they have found when they began.
        let lacks = |name: &&String| !there.processor.contains(name);
        let lacking: Vec<_> = self.processor.iter().filter(lacks).map(String::as_str).collect();
        if !lacking.is_empty() {
            return Some(format!("its programs may use what this processor lacks: {}", lacking.join(" ")));
        }
        None
    }

    /// Whether the kernel there is older, so that it may lack what the programs use; a restore tells.
    pub(super) fn is_newer_than(&self, there: &Self) -> bool {
        numbers(&self.kernel) > numbers(&there.kernel)
    }
}

/// The first two numbers of a release: `6.12.0-rc1` comes before `6.13`.
fn numbers(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

const CPUINFO: &str = "/proc/cpuinfo";

/// What programs on x86 choose their instructions by, and whatever begins as these do.
const CHOICES: [&str; 34] = [
    "abm",
    "adx",
    "aes",
    "amx",
    "avx",
    "bmi1",
    "bmi2",
    "clflushopt",
    "clwb",
    "f16c",
    "fma",
    "fsgsbase",
    "gfni",
    "movbe",
    "movdir",
    "pclmulqdq",
    "pku",
    "pni",
    "popcnt",
    "rdpid",
    "rdrand",
    "rdseed",
    "rtm",
    "serialize",
    "sha",
    "sse4",
    "ssse3",
    "vaes",
    "vpclmulqdq",
    "waitpkg",
    "xgetbv1",
    "xop",
    "xsave",
    "tbm",
];

/// What the first processor of a machine can do: its flags on x86, its features elsewhere.
fn processor(cpuinfo: &str) -> Vec<String> {
    let line =
        |line: &str| line.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.to_owned()));
    let mut lines = cpuinfo.lines().filter_map(line);
    let Some((name, words)) =
        lines.find(|(name, _)| matches!(name.as_str(), "flags" | "Features" | "features" | "isa"))
    else {
        return Vec::new();
    };
    let is_choice = |word: &&str| name != "flags" || CHOICES.iter().any(|choice| word.starts_with(choice));
    words.split_whitespace().filter(is_choice).map(str::to_owned).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn machine() -> Machine {
        Machine {
            architecture: "x86_64".to_owned(),
            page_size: 4096,
            kernel: "6.12.1".to_owned(),
            criu: "4.1".to_owned(),
            cgroups: Cgroups::V2,
            processor: ["avx", "avx2"].map(str::to_owned).into(),
        }
    }

    #[test]
    fn a_processor_is_what_programs_choose_by() {
        let x86 = "processor\t: 0\nflags\t\t: fpu tsc avx avx512f hypervisor sha_ni\nprocessor\t: 1\nflags\t\t: avx\n";
        assert_eq!(processor(x86), ["avx", "avx512f", "sha_ni"]);
        assert_eq!(processor("processor : 0\nFeatures : fp asimd sve\n"), ["fp", "asimd", "sve"]);
        assert_eq!(processor(""), [""; 0]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let here = machine();
        assert_eq!(here.misfit(&here), None);
        assert_eq!(
            here.misfit(&Machine { kernel: "7.0".to_owned(), criu: "4.10.1".to_owned(), ..machine() }),
            None
        );
        let kernel = |kernel: &str| Machine { kernel: kernel.to_owned(), ..machine() };
        assert!(kernel("6.12.3-amd64").is_newer_than(&kernel("6.9")));
        assert!(
            !kernel("6.12.3").is_newer_than(&kernel("6.12.0"))
                && !kernel("5.15").is_newer_than(&kernel("6.1"))
        );
        for (there, why) in [
            (Machine { architecture: "aarch64".to_owned(), ..machine() }, "for x86_64"),
            (Machine { page_size: 65536, ..machine() }, "4096 bytes"),
            (Machine { criu: "3.19".to_owned(), ..machine() }, "here is criu 3.19"),
            (Machine { criu: "new".to_owned(), ..machine() }, "here is criu new"),
            (Machine { cgroups: Cgroups::V1, ..machine() }, "control groups"),
            (Machine { processor: vec!["avx".to_owned()], ..machine() }, "lacks: avx2"),
        ] {
            assert!(here.misfit(&there).unwrap().contains(why), "{there:?}");
        }
    }
}
