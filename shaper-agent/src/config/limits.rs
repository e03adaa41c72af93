//! From a file's tables to limits.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
};

use shaper_common::{
    parameters::{ParameterError, Parameters},
    units::Size,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Config,
    error::{Fault, Faults},
    settings::{Partial, kind, text},
    source::{Source, quote},
};
use crate::spec::{Settings, Spec, SpecError, Target};

/// Faults that are described; a file of another format may have one on each of its lines.
const MOST_FAULTS: usize = 1000;

/// The limits that a text describes.
///
/// # Errors
///
/// Everything that is wrong with it; with its syntax, the first thing.
pub(super) fn read(text: &str) -> Result<Vec<Spec>, Faults> {
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        source: Source::new(text),
        defaults: Partial::default(),
        defaults_are_good: true,
        faults: Vec::new(),
        more: 0,
    };
    let limits = match DeTable::parse(text) {
        Ok(file) => reader.file(file.get_ref()),
        Err(error) => {
            reader.syntax(&error);
            Vec::new()
        }
    };
    if reader.faults.is_empty() {
        return Ok(limits);
    }
    reader.faults.sort_by_key(|fault| (fault.line, fault.column));
    Err(Faults::new(reader.faults, reader.more))
}

struct Reader<'a> {
    source: Source<'a>,
    defaults: Partial,
    defaults_are_good: bool,
    faults: Vec<Fault>,
    /// Faults that are only counted.
    more: usize,
}

type Key<'a> = Spanned<Cow<'a, str>>;
type Value<'a> = Spanned<DeValue<'a>>;

impl Reader<'_> {
    fn fault(&mut self, at: usize, message: String) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(self.source.fault(at, message));
        } else {
            self.more += 1;
        }
    }

    fn syntax(&mut self, error: &toml::de::Error) {
        let span = error.span().unwrap_or_default();
        let found = self.source.quote(span.clone());
        let message = match error.message() {
            "duplicate key" => format!("`{found}` is there already; leave one of them out"),
            reason if reason.starts_with("string values must be quoted") => {
                format!("`{found}` is no value; a text stands in quotes, as in rate = \"64kbit\"")
            }
            reason => format!("this is not TOML: {reason}"),
        };
        self.fault(span.start, message);
    }

    fn file(&mut self, file: &DeTable<'_>) -> Vec<Spec> {
        let mut limits = None;
        // In the keys' order, whatever the file's: the defaults come first.
        for (key, value) in file {
            match (&**key.get_ref(), value.get_ref()) {
                ("defaults", DeValue::Table(table)) => self.defaults(table),
                ("defaults", other) => {
                    let message = format!("defaults: {} is no table; write [defaults]", kind(other));
                    self.fault(value.span().start, message);
                }
                ("limit", _) => limits = Some(value),
                (other, _) => {
                    let message =
                        format!("`{}` is not known here; a file has [defaults] and [[limit]]", quote(other));
                    self.fault(key.span().start, message);
                }
            }
        }
        match limits.map(|limits| (limits, limits.get_ref())) {
            Some((_, DeValue::Array(limits))) => self.limits(limits),
            Some((limits, other)) => {
                let message =
                    format!("limit: {} is no list; write [[limit]], with two brackets", kind(other));
                self.fault(limits.span().start, message);
                Vec::new()
            }
            None => {
                // Else it is likely to be there under a wrong name.
                if self.faults.is_empty() {
                    let message =
                        "there is no [[limit]]; write one, or `limit = []` if nothing is to be limited";
                    self.fault(0, message.to_owned());
                }
                Vec::new()
            }
        }
    }

    fn defaults(&mut self, table: &DeTable<'_>) {
        let mut defaults = Partial::default();
        for (key, value) in table {
            if self.setting(&mut defaults, key, value) {
                continue;
            }
            let name = key.get_ref();
            let message = if Target::KINDS.contains(&&**name) {
                format!("`{name}` cannot have a default; write it in its [[limit]]")
            } else {
                format!("`{}` is no setting; there are {}", quote(name), Partial::KEYS.join(", "))
            };
            self.fault(key.span().start, message);
        }
        self.defaults = defaults;
        self.defaults_are_good = self.faults.is_empty();
    }

    /// Takes a setting; says whether there is one of this name.
    fn setting(&mut self, settings: &mut Partial, key: &Key<'_>, value: &Value<'_>) -> bool {
        match settings.set(key.get_ref(), value.get_ref()) {
            None => return false,
            Some(Ok(())) => {}
            Some(Err(wrong)) => self.value_fault(key, value, &wrong),
        }
        true
    }

    fn value_fault(&mut self, key: &Key<'_>, value: &Value<'_>, wrong: &str) {
        let message = format!("{}: {} {wrong}", key.get_ref(), self.source.quote(value.span()));
        self.fault(value.span().start, message);
    }

    fn limits(&mut self, tables: &[Value<'_>]) -> Vec<Spec> {
        if let Some(first) = tables.get(Config::MOST_LIMITS) {
            let most = Config::MOST_LIMITS;
            let message =
                format!("there are {} limits; {most} is the most that one agent holds", tables.len());
            self.fault(first.span().start, message);
            return Vec::new();
        }
        let mut lines: HashMap<Target, usize> = HashMap::new();
        let mut limits = Vec::with_capacity(tables.len());
        for table in tables {
            let Some((spec, at)) = self.limit(table) else { continue };
            match lines.entry(spec.target.clone()) {
                Entry::Vacant(place) => {
                    place.insert(self.source.line(at));
                    limits.push(spec);
                }
                Entry::Occupied(first) => {
                    let (target, line) = (quote(&spec.target.to_string()), first.get());
                    self.fault(
                        at,
                        format!("{target} has a limit in line {line} already; leave one of them out"),
                    );
                }
            }
        }
        limits
    }

    /// A limit, and where its target is named; none if there is something wrong with it.
    fn limit(&mut self, value: &Value<'_>) -> Option<(Spec, usize)> {
        let at = value.span().start;
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!(
                "limit: {} is no table; write [[limit]] and its settings below",
                kind(value.get_ref())
            );
            self.fault(at, message);
            return None;
        };
        let faults = self.faults.len();
        let mut settings = Partial::default();
        let mut targets = Vec::new();
        for (key, value) in table {
            if Target::KINDS.contains(&&**key.get_ref()) {
                targets.push((key, value));
            } else if !self.setting(&mut settings, key, value) {
                let known = [&Target::KINDS[..], &Partial::KEYS].concat().join(", ");
                let message = format!("`{}` is not known here; a limit has {known}", quote(key.get_ref()));
                self.fault(key.span().start, message);
            }
        }
        targets.sort_by_key(|(key, _)| key.span().start);
        let target = match targets[..] {
            [(key, value)] => self.target(key, value).map(|target| (target, key.span().start)),
            [] => {
                let kinds = Target::KINDS.join(", ");
                self.fault(
                    at,
                    format!("this limit has no target; say whose traffic it is for with one of {kinds}"),
                );
                None
            }
            [(first, _), (second, _), ..] => {
                let message = format!(
                    "`{}` is the limit's second target, after `{}`; write a [[limit]] for each",
                    second.get_ref(),
                    first.get_ref()
                );
                self.fault(second.span().start, message);
                None
            }
        };
        let settings = settings.settings(&self.defaults);
        // A rate that is there but wrong is not missing.
        if settings.is_none() && self.defaults_are_good && self.faults.len() == faults {
            self.fault(
                at,
                "this limit has no rate; give it rate (what may be sent), download or both".to_owned(),
            );
        }
        let ((target, named), settings) = (target?, settings?);
        if let Err(error) = possible(&settings) {
            self.fault(at, format!("this limit cannot be: {error}"));
        }
        Some((Spec { target, settings }, named))
    }

    fn target(&mut self, key: &Key<'_>, value: &Value<'_>) -> Option<Target> {
        let kind = &**key.get_ref();
        match target(kind, value.get_ref()) {
            Ok(target) => Some(target),
            Err(wrong) => {
                self.value_fault(key, value, &wrong);
                None
            }
        }
    }
}

/// Checks what rates, burst and reserve come to. What else it depends on is only known where the limit will be.
fn possible(settings: &Settings) -> Result<(), ParameterError> {
    let frame = Size::from_bytes(1514);
    for rate in [settings.upload, settings.download].into_iter().flatten() {
        let burst = settings.burst.map_or(frame, |burst| burst.at(rate));
        let &Settings { reserve, overhead, latency, .. } = settings;
        Parameters { rate, burst, frame, longest: frame, reserve, overhead, latency }.limiter()?;
    }
    Ok(())
}

fn target(kind: &str, value: &DeValue<'_>) -> Result<Target, String> {
    let name = match value {
        DeValue::Integer(number) if kind == "pid" => Cow::Owned(number.to_string()),
        _ => Cow::Borrowed(text(value, example(kind))?),
    };
    Target::new(kind, &name).map_err(|error| match error {
        SpecError::Name { expected, .. } => format!("will not do; give {expected}"),
        kind @ SpecError::Kind(_) => kind.to_string(),
    })
}

fn example(kind: &str) -> &'static str {
    match kind {
        "iface" => "veth1",
        "container" => "web",
        "pid" => "4711",
        "netns" => "blue",
        _ => "/sys/fs/cgroup/system.slice/web.service",
    }
}
