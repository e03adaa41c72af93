//! The programs and maps in the kernel, shared by all limits of a network namespace and pinned.

use std::cell::OnceCell;

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray},
    programs::{CgroupSkb, SchedClassifier},
};
use aya_log::Level;
use shaper_common::layout::{
    self, CGROUP_GLOBALS, CGROUP_PROGRAM, COUNTERS_MAP, Counters, DOWNLOAD_PROGRAM, LIMITS_MAP, PACED_MAP,
    SLOTS, STATES_MAP, State, UPLOAD_PROGRAM,
};

use crate::{
    OBJECT,
    error::{AgentError, chain},
    hook::Ours,
    pins::Pins,
    pod,
    record::{RECORD_BYTES, Record},
    spec::Direction,
};

/// Array of [`Record`] by slot: the agent's own notes, which no program reads.
const RECORDS_MAP: &str = "RECORDS";

/// The maps that the programs share.
const SHARED: [&str; 4] = [LIMITS_MAP, STATES_MAP, COUNTERS_MAP, PACED_MAP];

/// Below every level of the programs' messages: the verifier then removes their code.
const SILENT: u8 = 0;

/// The programs and maps of a network namespace.
pub(crate) struct Kernel {
    pins: Pins,
    build: String,
    verbose: bool,
    limits: HashMap<MapData, pod::Key, pod::Config>,
    states: Array<MapData, pod::State>,
    counters: PerCpuArray<MapData, pod::Counters>,
    records: Array<MapData, [u8; RECORD_BYTES]>,
    /// A program that is loaded ahead for the next cgroup.
    spare: Option<CgroupProgram>,
    /// Whether senders are paced; nothing while no limit has asked.
    paces: OnceCell<bool>,
}

impl Kernel {
    /// Opens what is pinned and makes what is not. The lock is held.
    ///
    /// `verbose` lets the programs report each packet that they drop, through a ring buffer.
    ///
    /// # Errors
    ///
    /// The kernel refuses, or what is pinned is of another version.
    pub(crate) fn create(pins: &Pins, verbose: bool) -> Result<Self, AgentError> {
        if SHARED.iter().any(|name| !pins.map(name).exists()) {
            // Making the maps is a side effect of loading the object.
            load(pins, verbose)?;
        }
        if !pins.map(RECORDS_MAP).exists() {
            let records: Array<_, [u8; RECORD_BYTES]> =
                Array::create(SLOTS, 0).map_err(|error| unreachable_map(RECORDS_MAP, &error))?;
            records.pin(pins.map(RECORDS_MAP)).map_err(|error| AgentError::Load(chain(&error)))?;
        }
        Self::open(pins, verbose)
    }

    /// Opens what is pinned.
    ///
    /// # Errors
    ///
    /// It is not complete, or of another version.
    pub(crate) fn open(pins: &Pins, verbose: bool) -> Result<Self, AgentError> {
        Ok(Self {
            pins: pins.clone(),
            build: build(verbose),
            verbose,
            limits: HashMap::try_from(Map::HashMap(pinned(pins, LIMITS_MAP)?))
                .map_err(|error| unreachable_map(LIMITS_MAP, &error))?,
            states: Array::try_from(Map::Array(pinned(pins, STATES_MAP)?))
                .map_err(|error| unreachable_map(STATES_MAP, &error))?,
            counters: PerCpuArray::try_from(Map::PerCpuArray(pinned(pins, COUNTERS_MAP)?))
                .map_err(|error| unreachable_map(COUNTERS_MAP, &error))?,
            records: Array::try_from(Map::Array(pinned(pins, RECORDS_MAP)?))
                .map_err(|error| unreachable_map(RECORDS_MAP, &error))?,
            spare: None,
            paces: OnceCell::new(),
        })
    }

    /// Whether senders are paced: `start` finds out, when the first limit asks.
    pub(crate) fn paces(&self, start: impl FnOnce() -> bool) -> bool {
        *self.paces.get_or_init(start)
    }

    /// The pins that all this is under.
    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }

    /// This build's program for a direction, loaded and pinned if it is not yet. The lock is held.
    pub(crate) fn program(&self, direction: Direction) -> Result<SchedClassifier, AgentError> {
        let name = program_name(direction);
        let pin = self.pins.program(name, &self.build);
        if !pin.exists() {
            let mut ebpf = load(&self.pins, self.verbose)?;
            let program: &mut SchedClassifier = ebpf
                .program_mut(name)
                .ok_or_else(|| AgentError::Load(format!("the object holds no program `{name}`")))?
                .try_into()
                .map_err(|error| AgentError::Load(chain(&error)))?;
            program.load().map_err(|error| AgentError::Load(chain(&error)))?;
            program.pin(&pin).map_err(|error| AgentError::Load(chain(&error)))?;
        }
        SchedClassifier::from_pin(&pin).map_err(|error| AgentError::Load(chain(&error)))
    }

    /// The kernel's number of this build's program, if it is pinned.
    pub(crate) fn pinned_program(&self, direction: Direction) -> Option<u32> {
        let pin = self.pins.program(program_name(direction), &self.build);
        SchedClassifier::from_pin(pin).ok()?.info().ok().map(|info| info.id())
    }

    /// What tells a direction's programs from others on a hook.
    pub(crate) fn ours(&self, direction: Direction) -> Ours {
        let ids = self
            .pins
            .programs(program_name(direction))
            .iter()
            .filter_map(|pin| SchedClassifier::from_pin(pin).ok()?.info().ok().map(|info| info.id()))
            .collect();
        Ours { direction, ids }
    }

    /// A program for the cgroup that the maps know by `id`.
    pub(crate) fn cgroup_program(&mut self, id: u32) -> Result<CgroupProgram, AgentError> {
        self.keep_spare()?;
        let mut program =
            self.spare.take().ok_or_else(|| AgentError::Load(format!("no program `{CGROUP_PROGRAM}`")))?;
        program.tell(id)?;
        Ok(program)
    }

    /// Loads a program ahead for the next cgroup, if none is: it takes far longer than attaching.
    pub(crate) fn keep_spare(&mut self) -> Result<(), AgentError> {
        if self.spare.is_none() {
            let mut loaded = CgroupProgram(load(&self.pins, self.verbose)?);
            loaded.program()?.load().map_err(|error| AgentError::Load(chain(&error)))?;
            self.spare = Some(loaded);
        }
        Ok(())
    }

    /// The program that is loaded ahead, to be handed on.
    pub(crate) fn spare(&mut self) -> &mut Option<CgroupProgram> {
        &mut self.spare
    }

    /// The programs and maps, opened once more: for a program that no limit has of its own.
    pub(crate) fn load(&self) -> Result<Ebpf, AgentError> {
        load(&self.pins, self.verbose)
    }

    /// What tells this build's programs from others.
    pub(crate) fn build(&self) -> &str {
        &self.build
    }

    /// Puts a limit's parameters in force, all at once.
    pub(crate) fn set_config(&mut self, key: layout::Key, config: layout::Config) -> Result<(), AgentError> {
        self.limits
            .insert(pod::Key(key), pod::Config(config), 0)
            .map_err(|error| unreachable_map(LIMITS_MAP, &error))
    }

    /// Takes a limit out of force. That there is none is no error.
    pub(crate) fn remove_config(&mut self, key: layout::Key) -> Result<(), AgentError> {
        match self.limits.remove(&pod::Key(key)) {
            Ok(()) | Err(MapError::KeyNotFound | MapError::ElementNotFound) => Ok(()),
            Err(MapError::SyscallError(error)) if error.io_error.kind() == std::io::ErrorKind::NotFound => {
                Ok(())
            }
            Err(error) => Err(unreachable_map(LIMITS_MAP, &error)),
        }
    }

    /// Forgets what a slot's last limit has seen. The new one's bucket begins with a theoretical arrival time, in ticks.
    pub(crate) fn clear(&mut self, slot: u32, arrival: u64) -> Result<(), AgentError> {
        self.set_state(slot, State { total: arrival, ..State::default() })?;
        let cpus = self.counters.get(&slot, 0).map_err(|error| unreachable_map(COUNTERS_MAP, &error))?.len();
        let zero = aya::maps::PerCpuValues::try_from(vec![pod::Counters(Counters::default()); cpus])
            .map_err(|error| AgentError::System("count the processors", error))?;
        self.counters.set(slot, zero, 0).map_err(|error| unreachable_map(COUNTERS_MAP, &error))
    }

    /// The bucket's theoretical arrival time, in ticks.
    pub(crate) fn arrival(&self, slot: u32) -> Result<u64, AgentError> {
        self.state(slot).map(|state| state.total)
    }

    /// Charges a bucket with `cost`, at the time `now`, both in ticks. What the programs charge between the two system calls
    /// of this is lost: what a limit lets through in some microseconds, a burst at most.
    pub(crate) fn charge(&mut self, slot: u32, now: u64, cost: u64) -> Result<(), AgentError> {
        let mut state = self.state(slot)?;
        state.total = state.total.max(now) + cost;
        self.set_state(slot, state)
    }

    fn state(&self, slot: u32) -> Result<State, AgentError> {
        self.states.get(&slot, 0).map(|state| state.0).map_err(|error| unreachable_map(STATES_MAP, &error))
    }

    fn set_state(&mut self, slot: u32, state: State) -> Result<(), AgentError> {
        self.states.set(slot, pod::State(state), 0).map_err(|error| unreachable_map(STATES_MAP, &error))
    }

    /// What the programs have counted on all CPUs.
    pub(crate) fn counters(&self, slot: u32) -> Result<Counters, AgentError> {
        let cpus = self.counters.get(&slot, 0).map_err(|error| unreachable_map(COUNTERS_MAP, &error))?;
        Ok(Counters::sum(cpus.iter().map(|cpu| &cpu.0)))
    }

    /// The notes on a slot; none if it is free.
    pub(crate) fn record(&self, slot: u32) -> Result<Option<Record>, AgentError> {
        let bytes = self.records.get(&slot, 0).map_err(|error| unreachable_map(RECORDS_MAP, &error))?;
        Record::from_bytes(&bytes)
    }

    /// Takes notes on a slot, or frees it.
    pub(crate) fn set_record(&mut self, slot: u32, record: Option<&Record>) -> Result<(), AgentError> {
        let bytes = match record {
            Some(record) => record.to_bytes()?,
            None => [0; RECORD_BYTES],
        };
        self.records.set(slot, bytes, 0).map_err(|error| unreachable_map(RECORDS_MAP, &error))
    }

    /// Every slot that is taken, with its notes.
    pub(crate) fn records(&self) -> Result<Vec<(u32, Record)>, AgentError> {
        let mut records = Vec::new();
        for slot in 0..SLOTS {
            if let Some(record) = self.record(slot)? {
                records.push((slot, record));
            }
        }
        Ok(records)
    }
}

/// A loaded program for a cgroup; unloaded when dropped, unless a link holds it.
#[derive(Debug)]
pub(crate) struct CgroupProgram(Ebpf);

impl CgroupProgram {
    /// Says whose program it is.
    fn tell(&mut self, id: u32) -> Result<(), AgentError> {
        let globals = self
            .0
            .map_mut(CGROUP_GLOBALS)
            .ok_or_else(|| AgentError::Load(format!("the object holds no map `{CGROUP_GLOBALS}`")))?;
        Array::<_, u32>::try_from(globals)
            .and_then(|mut globals| globals.set(0, id, 0))
            .map_err(|error| unreachable_map(CGROUP_GLOBALS, &error))
    }

    /// The program.
    pub(crate) fn program(&mut self) -> Result<&mut CgroupSkb, AgentError> {
        self.0
            .program_mut(CGROUP_PROGRAM)
            .ok_or_else(|| AgentError::Load(format!("the object holds no program `{CGROUP_PROGRAM}`")))?
            .try_into()
            .map_err(|error| AgentError::Load(chain(&error)))
    }
}

/// The name of a direction's program at an interface.
pub(crate) fn program_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Upload => UPLOAD_PROGRAM,
        Direction::Download => DOWNLOAD_PROGRAM,
    }
}

/// Opens the object on the pinned maps, making those that are not there. No program is loaded yet.
fn load(pins: &Pins, verbose: bool) -> Result<Ebpf, AgentError> {
    let level = if verbose { Level::Debug as u8 } else { SILENT };
    let mut loader = EbpfLoader::new();
    loader.override_global(aya_log::LEVEL, &level, true);
    for name in SHARED {
        loader.map_pin_path(name, pins.map(name));
    }
    loader.load(OBJECT).map_err(|error| AgentError::Load(chain(&error)))
}

/// The programs, and maps that go with them.
pub(crate) fn open_unpinned() -> Result<Ebpf, AgentError> {
    let mut loader = EbpfLoader::new();
    let level = SILENT;
    loader.override_global(aya_log::LEVEL, &level, true);
    loader.load(OBJECT).map_err(|error| AgentError::Load(chain(&error)))
}

/// Loads a direction's program and lets it go again; says how many instructions the verifier went through.
pub(crate) fn try_load(direction: Direction) -> Result<u32, AgentError> {
    let mut ebpf = open_unpinned()?;
    let program: &mut SchedClassifier = ebpf
        .program_mut(program_name(direction))
        .ok_or_else(|| AgentError::Load("the object holds no such program".to_owned()))?
        .try_into()
        .map_err(|error| AgentError::Load(chain(&error)))?;
    program.load().map_err(|error| AgentError::Load(chain(&error)))?;
    let info = program.info().map_err(|error| AgentError::Load(chain(&error)))?;
    Ok(info.verified_instruction_count().unwrap_or_default())
}

fn pinned(pins: &Pins, name: &'static str) -> Result<MapData, AgentError> {
    MapData::from_pin(pins.map(name)).map_err(|error| unreachable_map(name, &error))
}

fn unreachable_map(name: &'static str, error: &MapError) -> AgentError {
    match error {
        MapError::InvalidKeySize { .. }
        | MapError::InvalidValueSize { .. }
        | MapError::InvalidMapType { .. } => AgentError::OtherVersion,
        error => AgentError::Map { name, cause: chain(error) },
    }
}

/// Tells this build's programs from others: FNV-1a (64 bit) of the object, and whether they report.
fn build(verbose: bool) -> String {
    let hash = OBJECT.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}{}", if verbose { "v" } else { "" })
}
