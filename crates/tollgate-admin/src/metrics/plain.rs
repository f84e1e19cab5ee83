//! The exposition in the text format 0.0.4, made from `OpenMetrics` text. They differ in what stands
//! before the samples: there a counter is called without the `_total` of its samples, an information
//! is a type of its own, units are stated, and the end is marked.
//!
//! Source: "Exposition formats" of Prometheus, and the `OpenMetrics` specification 1.0.

/// Turns `OpenMetrics` text into the older format.
pub(super) fn of(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        match line.split_once(' ').map_or((line, ""), |(hash, rest)| (hash, rest)) {
            ("#", rest) => describe(&mut text, &mut help, rest),
            _ => push(&mut text, &[line]),
        }
    }
    text
}

/// Writes the line of a type, with the help that stood before it.
fn describe<'a>(text: &mut String, help: &mut Option<&'a str>, line: &'a str) {
    if let Some(rest) = line.strip_prefix("HELP ") {
        *help = Some(rest);
    }
    let Some((name, kind)) = line.strip_prefix("TYPE ").and_then(|rest| rest.split_once(' '))
    else {
        return;
    };
    let (suffix, kind) = match kind {
        "counter" => ("_total", "counter"),
        "info" => ("_info", "gauge"),
        "unknown" => ("", "untyped"),
        kind => ("", kind),
    };
    if let Some((_, help)) = help.take().and_then(|help| help.split_once(' ')) {
        push(text, &["# HELP ", name, suffix, " ", help]);
    }
    push(text, &["# TYPE ", name, suffix, " ", kind]);
}

fn push(text: &mut String, parts: &[&str]) {
    text.extend(parts.iter().copied());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_infos_are_called_as_their_samples() {
        let openmetrics = "\
# HELP a_requests Finished calls.
# TYPE a_requests counter
a_requests_total{model=\"# not a comment\"} 3
# HELP a_build What runs.
# TYPE a_build info
a_build_info{version=\"1\"} 1
# HELP a_size_bytes Size.
# TYPE a_size_bytes gauge
# UNIT a_size_bytes bytes
a_size_bytes 7
# EOF
";
        let plain = "\
# HELP a_requests_total Finished calls.
# TYPE a_requests_total counter
a_requests_total{model=\"# not a comment\"} 3
# HELP a_build_info What runs.
# TYPE a_build_info gauge
a_build_info{version=\"1\"} 1
# HELP a_size_bytes Size.
# TYPE a_size_bytes gauge
a_size_bytes 7
";
        assert_eq!(of(openmetrics), plain);
    }
}
