//! The limits that are compared.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A way to limit a container's upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    /// `shaper-agent --mode police`
    Police,
    /// `shaper-agent --mode shape`
    Shape,
    /// `tc tbf` inside the container
    Tbf,
    /// `tc htb` with fq_codel inside the container
    HtbFqCodel,
    /// The CNI bandwidth plugin's layout: the host's ingress redirected to an ifb with tbf
    Cni,
    /// The rule of Cilium's ingress limit: a strict token bucket of one second
    Cilium,
    /// magnific0's script inside the container
    Wondershaper,
    /// No limit
    Unlimited,
}

/// Everybody, in the order of the table, with their names.
const ALL: [(Contender, &str); 8] = [
    (Contender::Shape, "shape"),
    (Contender::Police, "police"),
    (Contender::Tbf, "tbf"),
    (Contender::HtbFqCodel, "htb-fq-codel"),
    (Contender::Cni, "cni"),
    (Contender::Cilium, "cilium"),
    (Contender::Wondershaper, "wondershaper"),
    (Contender::Unlimited, "unlimited"),
];

impl Contender {
    /// Everybody, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|(contender, _)| *contender)
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALL.iter().find(|(contender, _)| contender == self).map_or("", |(_, name)| name);
        f.pad(name)
    }
}

impl FromStr for Contender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = ALL.iter().find(|(_, name)| *name == text).map(|(contender, _)| *contender);
        found.ok_or_else(|| {
            let names: Vec<&str> = ALL.iter().map(|(_, name)| *name).collect();
            format!("nobody is called `{text}`: there are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_read_again() {
        for contender in Contender::all() {
            assert_eq!(contender.to_string().parse(), Ok(contender));
            let json = serde_json::to_value(contender).unwrap();
            assert_eq!(json, contender.to_string());
        }
        assert!("tc".parse::<Contender>().unwrap_err().contains("htb-fq-codel"));
    }
}
