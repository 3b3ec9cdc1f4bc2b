//! The words of the specification: actions, operators, flags.

/// What a filter answers (seccomp(2), `SECCOMP_RET_…`), with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Action(pub(crate) u32);

impl Action {
    pub(crate) const KILL_THREAD: Action = Action(0);
    pub(crate) const NOTIFY: Action = Action(0x7fc0_0000);
    pub(crate) const ERRNO: u32 = 0x0005_0000;
    pub(crate) const TRACE: u32 = 0x7ff0_0000;
    const LOG: u32 = 0x7ffc_0000;
    const ALLOW: u32 = 0x7fff_0000;

    pub(crate) fn errno(errno: u16) -> Action {
        Action(Action::ERRNO | u32::from(errno))
    }

    /// Whether a system call with this answer may be carried out. A tracer decides itself what becomes of calls it does
    /// not know.
    pub(crate) fn permits(self) -> bool {
        [Action::TRACE, Action::LOG, Action::ALLOW].contains(&(self.0 & 0xffff_0000))
    }
}

/// Names of actions with what they are, sorted.
pub(crate) const ACTIONS: [(&str, u32); 9] = [
    ("SCMP_ACT_ALLOW", Action::ALLOW),
    ("SCMP_ACT_ERRNO", Action::ERRNO),
    ("SCMP_ACT_KILL", Action::KILL_THREAD.0),
    ("SCMP_ACT_KILL_PROCESS", 0x8000_0000),
    ("SCMP_ACT_KILL_THREAD", Action::KILL_THREAD.0),
    ("SCMP_ACT_LOG", Action::LOG),
    ("SCMP_ACT_NOTIFY", Action::NOTIFY.0),
    ("SCMP_ACT_TRACE", Action::TRACE),
    ("SCMP_ACT_TRAP", 0x0003_0000),
];

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operator {
    Equal,
    GreaterOrEqual,
    Greater,
    LessOrEqual,
    Less,
    MaskedEqual,
    NotEqual,
}

/// Names of operators, sorted.
pub(crate) const OPERATORS: [(&str, Operator); 7] = [
    ("SCMP_CMP_EQ", Operator::Equal),
    ("SCMP_CMP_GE", Operator::GreaterOrEqual),
    ("SCMP_CMP_GT", Operator::Greater),
    ("SCMP_CMP_LE", Operator::LessOrEqual),
    ("SCMP_CMP_LT", Operator::Less),
    ("SCMP_CMP_MASKED_EQ", Operator::MaskedEqual),
    ("SCMP_CMP_NE", Operator::NotEqual),
];

/// Names of flags with their bits (linux/seccomp.h: `SECCOMP_FILTER_FLAG_…`), sorted. The threads of a program are made
/// to agree by TSYNC; that which loads a filter here has one thread, and the kernel refuses TSYNC beside a listener.
pub(crate) const FLAGS: [(&str, u32); 4] = [
    ("SECCOMP_FILTER_FLAG_LOG", 1 << 1),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_TSYNC", 0),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", WAIT_KILLABLE_RECV),
];
pub(crate) const SPEC_ALLOW: u32 = 1 << 2;
pub(crate) const WAIT_KILLABLE_RECV: u32 = 1 << 5;

const fn names<T: Copy, const N: usize>(table: [(&'static str, T); N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut index = 0;
    while index < N {
        names[index] = table[index].0;
        index += 1;
    }
    names
}

pub(crate) static ACTION_NAMES: [&str; ACTIONS.len()] = names(ACTIONS);
pub(crate) static OPERATOR_NAMES: [&str; OPERATORS.len()] = names(OPERATORS);
pub(crate) static FLAG_NAMES: [&str; FLAGS.len()] = names(FLAGS);

pub(crate) fn find<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}
