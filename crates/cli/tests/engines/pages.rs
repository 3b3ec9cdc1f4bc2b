//! The pages of docs/ on engines, followed word for word on a machine that is there for it.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use corten_testkit::{Failed, Requirement, corten};

use super::containerd::import;
use super::place::Place;

/// A page of an engine.
pub struct Page {
    pub name: &'static str,
    pub needs: &'static [Requirement],
    text: &'static str,
    /// Makes what the page takes for granted: an engine with an image of alpine. There is no registry.
    before: fn(&Place),
    /// Lines that somebody who follows it sees, in this order.
    shows: &'static [&'static str],
    /// Puts the machine back.
    after: &'static str,
}

pub const NEEDS: &[Requirement] =
    &[Requirement::Root, Requirement::Busybox, Requirement::Path("/run/systemd/system")];

pub const PAGES: &[Page] = &[
    Page {
        name: "pages::podman",
        needs: &[Requirement::Program("podman")],
        text: include_str!("../../../../docs/podman.md"),
        before: |place| place.must("tar -C box -c . | podman import -q - docker.io/library/alpine"),
        shows: &["hello", "corten", "hello"],
        after: "podman rmi -f docker.io/library/alpine; rm /etc/containers/containers.conf",
    },
    Page {
        name: "pages::containerd",
        needs: &[Requirement::Program("containerd"), Requirement::Program("ctr")],
        text: include_str!("../../../../docs/containerd.md"),
        before: |place| {
            place.must("systemctl start containerd");
            import(place, "docker.io/library/alpine:latest", "[\"sh\"]");
            place.program("ctr", "[ \"$1 $2\" = 'images pull' ] || exec /usr/bin/ctr \"$@\"");
        },
        shows: &["hello", "hello"],
        after: "ctr images rm docker.io/library/alpine:latest; systemctl stop containerd",
    },
    Page {
        name: "pages::docker",
        needs: &[Requirement::Program("docker"), Requirement::Program("dockerd")],
        text: include_str!("../../../../docs/docker.md"),
        before: |place| place.must("systemctl start docker && tar -C box -c . | docker import - alpine"),
        shows: &["hello", "corten", "hello", "runc"],
        after: "docker rmi -f alpine; systemctl stop docker.socket docker containerd; rm /etc/docker/daemon.json",
    },
    Page {
        name: "pages::kubernetes",
        needs: &[Requirement::Program("containerd")],
        text: include_str!("../../../../docs/kubernetes.md"),
        before: |place| place.must("cp /etc/containerd/config.toml ."),
        shows: &["BinaryName = \"/usr/bin/corten\"", "default_runtime_name = \"corten\""],
        after: "systemctl stop containerd; cp config.toml /etc/containerd",
    },
];

/// What a page has its reader do.
enum Step {
    Type(&'static str),
    /// Add that to a file.
    Add(&'static Path, &'static str),
}

/// What a page says, from top to bottom: blocks of the shell, and of configuration for the file that was named last.
fn steps(page: &'static str) -> Vec<Step> {
    let mut file = "";
    let mut steps = Vec::new();
    for (number, part) in page.split("```").enumerate() {
        if number % 2 == 0 {
            file = part.rsplit('`').find(|word| word.starts_with("/etc/")).unwrap_or(file);
            continue;
        }
        match part.split_once('\n').unwrap() {
            ("sh", text) => steps.push(Step::Type(text)),
            ("toml", text) => steps.push(Step::Add(Path::new(file), text)),
            // What programs, or a whole cluster, would be given.
            ("go" | "yaml", _) => {}
            (language, _) => panic!("a block of {language}"),
        }
    }
    steps
}

/// A machine with corten in its place, which is put back.
struct Machine<'a> {
    place: Place,
    page: &'a Page,
}

impl<'a> Machine<'a> {
    fn new(page: &'a Page) -> Self {
        let mut place = Place::new();
        place.set("CORTEN", corten().display().to_string());
        place.program("sudo", "exec \"$@\"");
        let machine = Self { place, page };
        machine.place.must("! test -e /usr/bin/corten && install $CORTEN /usr/bin/corten && mkdir reader");
        machine
    }

    fn follow(&self, step: &Step) -> String {
        match *step {
            Step::Type(text) => {
                let said = self.place.shows(&format!("cd reader; set -e\n{text}"));
                format!("{text}{said}")
            }
            Step::Add(path, text) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
                file.write_all(text.as_bytes()).unwrap();
                String::new()
            }
        }
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        self.place.says(&format!("{}; rm /usr/bin/corten", self.page.after));
    }
}

/// Follows a page: each block succeeds, and all of them show what they should.
pub fn follow(page: &Page) -> Result<(), Failed> {
    let machine = Machine::new(page);
    (page.before)(&machine.place);
    let mut told = String::new();
    let mut wrong = false;
    for step in steps(page.text) {
        let shown = machine.follow(&step);
        wrong |= !shown.is_empty() && !shown.ends_with("status 0\n");
        write!(told, "{shown}")?;
    }
    let mut lines = told.lines().map(str::trim);
    for expected in page.shows {
        if !lines.any(|line| line == *expected) {
            return Err(format!("it does not show {expected:?}:\n{told}").into());
        }
    }
    if wrong { Err(told.into()) } else { Ok(()) }
}
