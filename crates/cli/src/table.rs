//! Tables for people.

/// Prints rows in columns as wide as their longest cell, three blanks between them.
pub fn print(rows: &[Vec<String>]) {
    print!("{}", format(rows));
}

fn format(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
        .map(|width| width.unwrap_or(0).max(9) + 3)
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text += cells.concat().trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let table = format(&[row(["ID", "PID", "STATUS"]), row(["a-very-long-name", "1", "running"])]);
        assert_eq!(table, "ID                 PID         STATUS\na-very-long-name   1           running\n");
    }
}
