//! Names of users.

/// The name of a user of this machine as `/etc/passwd` has it (passwd(5)); else the number.
pub fn name(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = uid.to_string();
    let is_it = |line: &&str| line.split(':').nth(2) == Some(number.as_str());
    let name = users.lines().find(is_it).and_then(|line| line.split(':').next());
    name.map_or(number.clone(), str::to_owned)
}
