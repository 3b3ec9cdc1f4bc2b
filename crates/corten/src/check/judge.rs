//! Judging: from what was found to what it means for containers. Pure.

use super::facts::{Cgroups, Facts};
use super::{Finding, Verdict};
use crate::Namespace;

/// The oldest kernel that corten is written for.
const KERNEL: (u32, u32) = (5, 14);

/// The oldest CRIU that can be spoken to.
const CRIU: (u32, u32) = (3, 11);

/// Everything that containers may need, in the order of a page.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![kernel(facts)];
    findings.extend(namespaces(facts));
    findings.push(user_namespaces(facts));
    if facts.uid != 0 {
        findings.extend(ordinary_user(facts));
    }
    findings.extend(cgroups(facts));
    findings.extend(security(facts));
    findings.extend(file_systems(facts));
    findings.extend(tools(facts));
    findings
}

fn finding(
    area: &'static str,
    name: &str,
    verdict: Verdict,
    detail: impl Into<String>,
    advice: &str,
) -> Finding {
    let advice = (verdict != Verdict::Yes && !advice.is_empty()).then(|| advice.to_owned());
    Finding { area, name: name.to_owned(), verdict, detail: detail.into(), advice }
}

/// Missing is bad only for who asks for it.
fn if_there(there: bool) -> Verdict {
    if there { Verdict::Yes } else { Verdict::No }
}

/// Missing is bad for everybody.
fn needed(there: bool) -> Verdict {
    if there { Verdict::Yes } else { Verdict::Needed }
}

/// Major and minor number of a version such as `6.12.1-amd64`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn kernel(facts: &Facts) -> Finding {
    let new_enough = version(&facts.kernel).is_some_and(|version| version >= KERNEL);
    finding(
        "kernel",
        "version",
        needed(new_enough),
        &facts.kernel,
        "corten is written for Linux 5.14 and newer",
    )
}

fn namespaces(facts: &Facts) -> Vec<Finding> {
    let there = |kind: Namespace| facts.namespaces.iter().any(|name| name == kind.proc_name());
    let kinds = Namespace::ALL.into_iter().filter(|kind| *kind != Namespace::User);
    kinds
        .map(|kind| {
            let verdict = match kind {
                Namespace::Mount | Namespace::Pid => needed(there(kind)),
                _ => if_there(there(kind)),
            };
            let detail = if there(kind) { "available" } else { "not in this kernel" };
            finding("namespaces", kind.as_str(), verdict, detail, "use a kernel that is built with it")
        })
        .collect()
}

/// Root can do without; an ordinary user cannot.
fn user_namespaces(facts: &Facts) -> Finding {
    let settings = &facts.user_namespaces;
    let root = facts.uid == 0;
    let judged = |there: bool| if root { if_there(there) } else { needed(there) };
    let (there, detail, advice) = match () {
        () if !facts.namespaces.iter().any(|name| name == "user") => {
            (false, "not in this kernel".to_owned(), "use a kernel that is built with it")
        }
        () if settings.most == Some(0) => {
            (false, "user.max_user_namespaces is 0".to_owned(), "sysctl user.max_user_namespaces=15000")
        }
        () if !root && settings.unprivileged == Some(0) => (
            false,
            "kernel.unprivileged_userns_clone is 0".to_owned(),
            "sysctl kernel.unprivileged_userns_clone=1",
        ),
        () if !root && settings.apparmor == Some(1) => (
            false,
            "kernel.apparmor_restrict_unprivileged_userns is 1".to_owned(),
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile that allows corten `userns`",
        ),
        () => (true, "available".to_owned(), ""),
    };
    finding("namespaces", "user", judged(there), detail, advice)
}

fn ordinary_user(facts: &Facts) -> Vec<Finding> {
    let names = ["newuidmap", "newgidmap"];
    let missing: Vec<_> = names
        .iter()
        .zip(&facts.id_helpers)
        .filter(|(_, path)| path.is_none())
        .map(|(name, _)| *name)
        .collect();
    let helpers = match missing.is_empty() {
        true => "newuidmap and newgidmap are installed".to_owned(),
        false => format!("{} not installed", missing.join(" and ")),
    };
    let [users, groups] = facts.granted;
    let who = facts.user.clone().unwrap_or_else(|| facts.uid.to_string());
    let grant = format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {who}");
    vec![
        finding(
            "user",
            "programs that map ids",
            if_there(missing.is_empty()),
            helpers,
            "install the package uidmap (shadow-utils): without it a container has one user only",
        ),
        finding(
            "user",
            "granted ids",
            if_there(users > 0 && groups > 0),
            format!("{users} user ids and {groups} group ids for {who}"),
            &grant,
        ),
        finding(
            "user",
            "systemd session",
            if_there(facts.user_bus),
            if facts.user_bus { "a bus is there" } else { "no bus of a session" },
            "log in through systemd (machinectl shell, ssh), or loginctl enable-linger: it delegates control groups",
        ),
    ]
}

fn cgroups(facts: &Facts) -> Vec<Finding> {
    let groups = &facts.cgroups;
    let kind = match groups {
        Cgroups { mounted: false, .. } => "not mounted",
        Cgroups { unified: true, .. } => "v2",
        Cgroups { v2, .. } if v2.is_empty() => "v1",
        _ => "v1 and v2 (hybrid)",
    };
    let mut findings = vec![finding(
        "cgroups",
        "hierarchies",
        if_there(groups.mounted),
        kind,
        "mount -t cgroup2 none /sys/fs/cgroup, or use --cgroup-manager disabled",
    )];
    if facts.uid != 0 {
        let delegated = groups.own_writable && !groups.v2.is_empty();
        let detail =
            if delegated { "one's own group can be divided" } else { "one's own group belongs to others" };
        findings.push(finding(
            "cgroups",
            "delegation",
            if_there(delegated),
            detail,
            "--systemd-cgroup in a session of systemd, or systemd-run --user --scope -p Delegate=yes CMD",
        ));
    }
    let controllers = [
        ("memory limits", "memory", "memory"),
        ("processor limits", "cpu", "cpu"),
        ("processor sets", "cpuset", "cpuset"),
        ("process limits", "pids", "pids"),
        ("disk limits", "blkio", "io"),
        ("huge page limits", "hugetlb", "hugetlb"),
    ];
    for (name, v1, v2) in controllers {
        let there = |list: &[String], name: &str| list.iter().any(|known| known == name);
        let (found, detail) = match (there(&groups.v2, v2), there(&groups.v1, v1)) {
            (true, _) => (true, format!("v2 controller {v2}")),
            (_, true) => (true, format!("v1 controller {v1}")),
            _ => (false, format!("no controller {v2}")),
        };
        let advice = match facts.uid {
            0 => "the kernel lacks it, or it is switched off on its command line (cgroup_disable=)",
            _ => "systemd delegates it by Delegate= in user@.service.d: see systemd.resource-control(5)",
        };
        findings.push(finding("cgroups", name, if_there(found), detail, advice));
    }
    let detail = if facts.pressure { "available" } else { "not there" };
    findings.push(finding("cgroups", "pressure", if_there(facts.pressure), detail, "boot with psi=1"));
    let detail = if facts.resctrl { "mounted" } else { "not mounted" };
    let advice = "mount -t resctrl resctrl /sys/fs/resctrl, where the processor can";
    findings.push(finding("cgroups", "Intel RDT (resctrl)", if_there(facts.resctrl), detail, advice));
    findings
}

fn security(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![finding(
        "security",
        "seccomp",
        if_there(!facts.seccomp.is_empty()),
        if facts.seccomp.is_empty() { "not in this kernel".to_owned() } else { facts.seccomp.join(" ") },
        "use a kernel that is built with CONFIG_SECCOMP_FILTER",
    )];
    for (name, active) in [("AppArmor", facts.apparmor), ("SELinux", facts.selinux)] {
        let detail = if active { "active" } else { "not active" };
        findings.push(finding("security", name, if_there(active), detail, ""));
    }
    let landlock = match facts.landlock {
        0 => "not active".to_owned(),
        abi => format!("ABI {abi}"),
    };
    findings.push(finding("security", "Landlock", if_there(facts.landlock > 0), landlock, ""));
    findings
}

fn file_systems(facts: &Facts) -> Vec<Finding> {
    let overlay = facts.file_systems.iter().any(|name| name == "overlay");
    let detail = if overlay { "available" } else { "not there" };
    let sealed = facts.memfd_noexec != Some(2) || (overlay && facts.uid == 0);
    vec![
        finding("kernel", "overlay file system", if_there(overlay), detail, "modprobe overlay"),
        finding(
            "kernel",
            "sealed program",
            needed(sealed),
            match facts.memfd_noexec {
                Some(2) => "vm.memfd_noexec is 2",
                _ => "available",
            },
            "sysctl vm.memfd_noexec=1: corten starts containers from a copy of itself that nobody can write to",
        ),
    ]
}

fn tools(facts: &Facts) -> Vec<Finding> {
    let (criu, detail) = match &facts.criu {
        None => (false, "not installed".to_owned()),
        Some(found) => (version(found).is_some_and(|version| version >= CRIU), found.clone()),
    };
    let systemd = if facts.systemd { "rules this machine" } else { "does not rule this machine" };
    vec![
        finding(
            "tools",
            "systemd",
            if_there(facts.systemd),
            systemd,
            "without it, --systemd-cgroup cannot be used",
        ),
        finding("tools", "CRIU", if_there(criu), detail, "checkpoint and restore need criu 3.11 or newer"),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::facts::UserNamespaces;
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn good(uid: u32) -> Facts {
        Facts {
            kernel: "6.12.117+deb13-amd64".to_owned(),
            uid,
            user: Some("ann".to_owned()),
            namespaces: words("cgroup ipc mnt net pid time user uts"),
            cgroups: Cgroups {
                mounted: true,
                unified: true,
                v1: Vec::new(),
                v2: words("cpuset cpu io memory hugetlb pids"),
                own_writable: true,
            },
            apparmor: true,
            selinux: true,
            landlock: 7,
            seccomp: words("kill_process errno allow"),
            file_systems: words("proc overlay"),
            pressure: true,
            resctrl: true,
            systemd: true,
            user_bus: true,
            criu: Some("4.1".to_owned()),
            id_helpers: [Some("/usr/bin/newuidmap".into()), Some("/usr/bin/newgidmap".into())],
            granted: [65536, 65536],
            ..Facts::default()
        }
    }

    fn of(facts: &Facts, name: &str) -> Finding {
        judge(facts).into_iter().find(|finding| finding.name == name).unwrap()
    }

    #[test]
    fn a_good_machine_has_all() {
        for uid in [0, 1000] {
            for finding in judge(&good(uid)) {
                assert_eq!((finding.verdict, finding.advice), (Verdict::Yes, None), "{}", finding.name);
            }
        }
    }

    #[test]
    fn what_keeps_a_user_from_containers_is_told_with_its_remedy() {
        let none = UserNamespaces::default();
        let cases = [
            (UserNamespaces { most: Some(0), ..none.clone() }, "user.max_user_namespaces"),
            (UserNamespaces { unprivileged: Some(0), ..none.clone() }, "kernel.unprivileged_userns_clone"),
            (UserNamespaces { apparmor: Some(1), ..none }, "kernel.apparmor_restrict_unprivileged_userns"),
        ];
        for (user_namespaces, sysctl) in cases {
            let found = of(&Facts { user_namespaces, ..good(1000) }, "user");
            assert_eq!(found.verdict, Verdict::Needed);
            assert!(found.detail.contains(sysctl) && found.advice.unwrap().contains(sysctl));
        }
        let facts = Facts { granted: [0, 65536], ..good(1000) };
        assert!(of(&facts, "granted ids").advice.unwrap().contains("--add-subuids 100000-165535"));
        let mut facts = good(1000);
        facts.cgroups.own_writable = false;
        assert_eq!(of(&facts, "delegation").verdict, Verdict::No);
    }

    #[test]
    fn old_and_missing_things() {
        assert_eq!(
            of(&Facts { kernel: "5.10.0-9-amd64".to_owned(), ..good(0) }, "version").verdict,
            Verdict::Needed
        );
        assert_eq!(of(&Facts { criu: Some("3.8.1".to_owned()), ..good(0) }, "CRIU").verdict, Verdict::No);
        assert_eq!(of(&Facts { criu: None, ..good(0) }, "CRIU").detail, "not installed");
        assert_eq!(
            of(&Facts { memfd_noexec: Some(2), ..good(1000) }, "sealed program").verdict,
            Verdict::Needed
        );
        assert_eq!(of(&Facts { memfd_noexec: Some(2), ..good(0) }, "sealed program").verdict, Verdict::Yes);
        let none = Facts { cgroups: Cgroups::default(), ..good(0) };
        assert_eq!(of(&none, "hierarchies").detail, "not mounted");
        let hybrid = Cgroups {
            unified: false,
            mounted: true,
            v1: words("memory"),
            v2: words("pids"),
            own_writable: true,
        };
        let facts = Facts { cgroups: hybrid, ..good(0) };
        assert_eq!(of(&facts, "hierarchies").detail, "v1 and v2 (hybrid)");
        assert_eq!(of(&facts, "memory limits").detail, "v1 controller memory");
        assert_eq!(of(&facts, "disk limits").verdict, Verdict::No);
    }
}
