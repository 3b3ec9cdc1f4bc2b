//! Lines of a `schemata` file: `L3:0=ffff0;1=ff`, `MB:0=20;1=70`.

use std::collections::BTreeMap;

use corten_oci::IntelRdt;

use crate::error::{Error, Result};

/// The lines that a configuration asks for, in the order in which the specification has them written.
pub(crate) fn lines(rdt: &IntelRdt) -> Vec<String> {
    let IntelRdt { clos_id: _, schemata, l3_cache_schema, mem_bw_schema, enable_monitoring: _ } = rdt;
    let split = |text: &Option<String>| -> Vec<String> {
        text.iter().flat_map(|text| text.lines()).map(|line| line.trim().to_owned()).collect()
    };
    // Bandwidth has a field of its own, and its lines do not belong into that of the cache.
    let cache = split(l3_cache_schema).into_iter().filter(|line| !line.starts_with("MB:"));
    let bandwidth = split(mem_bw_schema);
    let all = cache.chain(bandwidth).chain(schemata.iter().map(|line| line.trim().to_owned()));
    all.filter(|line| !line.is_empty()).collect()
}

/// The lines of a file that are about the resources of other lines.
pub(crate) fn of_the_same(present: &str, lines: &[String]) -> Vec<String> {
    let resource = |line: &str| line.split(':').next().unwrap_or_default().trim().to_owned();
    let same = |line: &&str| lines.iter().any(|other| resource(other) == resource(line));
    present.lines().map(str::trim).filter(|line| !line.is_empty()).filter(same).map(str::to_owned).collect()
}

/// Each resource and domain, with its value.
type Values = BTreeMap<(String, String), String>;

/// Fails where a class that is there already has other values than those asked for.
pub(crate) fn compare(present: &str, wanted: &[String]) -> Result<()> {
    let present: Values = present.lines().flat_map(values).collect();
    for line in wanted {
        for (key, value) in values(line) {
            if present.get(&key) != Some(&value) {
                let reason = "the class of service is there already, and has another schema";
                return Err(Error::value("intelRdt", line, reason));
            }
        }
    }
    Ok(())
}

/// The values of a line. Masks are hexadecimal numbers, which may have zeros in front.
fn values(line: &str) -> Vec<((String, String), String)> {
    let Some((resource, domains)) = line.trim().split_once(':') else { return Vec::new() };
    let value = |value: &str| match value.trim().trim_start_matches('0') {
        "" => "0".to_owned(),
        value => value.to_ascii_lowercase(),
    };
    let domains = domains.split(';').filter_map(|domain| domain.split_once('='));
    domains.map(|(id, of)| ((resource.to_owned(), id.trim().to_owned()), value(of))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_same_resources_are_found() {
        let present = "    MB:0=100;1=100\n    L3:0=fff;1=fff\n  L2:0=f\n";
        let wanted = ["L3:0=f".to_owned(), "MB:1=20".to_owned()];
        assert_eq!(of_the_same(present, &wanted), ["MB:0=100;1=100", "L3:0=fff;1=fff"]);
    }

    #[test]
    fn lines_have_their_order() {
        let rdt = IntelRdt {
            l3_cache_schema: Some("L3:0=f\nMB:0=1\n".to_owned()),
            mem_bw_schema: Some("MB:0=50".to_owned()),
            schemata: vec!["L2:0=3".to_owned(), " ".to_owned()],
            ..IntelRdt::default()
        };
        assert_eq!(lines(&rdt), ["L3:0=f", "MB:0=50", "L2:0=3"]);
        assert!(lines(&IntelRdt::default()).is_empty());
    }

    #[test]
    fn values_are_compared_as_numbers() {
        let present = "    MB:0=  20;1= 100\n    L3:0=00f0;1=fff\n";
        let fits = |line: &str| compare(present, &[line.to_owned()]).is_ok();
        assert!(fits("L3:0=f0") && fits("L3:1=0FFF;0=f0") && fits("MB:1=100"));
        assert!(!fits("L3:0=f") && !fits("L3:2=f0") && !fits("L2:0=f0"));
    }
}
