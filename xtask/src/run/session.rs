//! A run from the first program's start to the last one's end.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use protocol::status::EdgeStatus;

use super::docker;
use super::forwarding;
use super::network::{NAMESPACE, Network};
use super::part::Part;
use super::plan::{Plan, Video};
use super::programs::{Allowance, CLOUD_PORT, Starter};
use super::rest::Lock;
use super::samples::{Recent, Sample};
use super::uplink::{Counters, Trace, Tracer};
use crate::cli::Runtime;
use crate::interrupt::Interrupt;
use crate::machine::free_space;
use crate::rate::Rate;
use crate::terminal::{StatusLine, stage};
use crate::workspace::Workspace;

/// How long the edge may take from its start to its first result: a camera's first key frame, and the model.
const FIRST_RESULT: Duration = Duration::from_secs(60);
/// How long the edge may take to end: its upload on the wire has five seconds.
const DRAIN: Duration = Duration::from_secs(20);
/// How long the others may take to end.
const END: Duration = Duration::from_secs(10);
/// How often the run is looked after.
const STEP: Duration = Duration::from_millis(100);
/// The least free space on the disk of the run's directory.
const LEAST_SPACE: u64 = 4 << 20;

/// The running programs and their network. Dropping it ends the programs and removes the network.
#[derive(Debug)]
pub struct Session {
    // In the order in which they end; the fields below are dropped in this order too.
    edge: Option<Part>,
    shaper: Option<Part>,
    relay: Option<Part>,
    cloud: Option<Part>,
    network: Network,
    lock: Lock,
    begin: Instant,
    started_at: SystemTime,
    tracer: Option<Tracer>,
    counters: Counters,
    allowance: Allowance,
    /// Whether everything has started.
    begun: bool,
}

/// What a run measured.
#[derive(Debug)]
pub struct Measured {
    /// When the edge was started.
    pub started_at: SystemTime,
    /// From the edge's start to its end.
    pub duration: Duration,
    /// From the command's start to the edge's first result.
    pub first_result: Option<Duration>,
    /// The edge's counters, a sample a second.
    pub samples: Vec<Sample>,
    /// The packets that passed the limit.
    pub trace: Trace,
    /// What the links counted.
    pub counters: Counters,
    /// What the limit lets through beyond rate × time.
    pub allowance: Allowance,
    /// Whether Ctrl-C ended it.
    pub interrupted: bool,
    /// How the edge ended.
    pub ended: Result<()>,
}

impl Session {
    /// Makes the network and starts the programs, the edge last. `begin` is when the command was started.
    ///
    /// # Errors
    ///
    /// If a step fails; everything before it is undone.
    pub fn begin(
        workspace: &Workspace,
        plan: &Plan,
        mut lock: Lock,
        interrupt: &Interrupt,
        begin: Instant,
    ) -> Result<Self> {
        stage("starting");
        let network = Network::create(&mut lock, plan.runtime)?;
        match plan.runtime {
            Runtime::Namespace => {
                println!("   network {}, edge in the namespace {NAMESPACE}", network.cidr())
            }
            Runtime::Docker => {
                println!("   network {}, edge in the container {}", network.cidr(), docker::EDGE)
            }
        }
        let started_at = SystemTime::now();
        let counters = Counters::default();
        let mut session = Self {
            edge: None,
            shaper: None,
            relay: None,
            cloud: None,
            network,
            lock,
            begin,
            started_at,
            tracer: None,
            counters,
            allowance: Allowance::default(),
            begun: false,
        };
        session.start(workspace, plan, interrupt)?;
        Ok(session)
    }

    fn start(&mut self, workspace: &Workspace, plan: &Plan, interrupt: &Interrupt) -> Result<()> {
        let gateway = self.network.gateway();
        let video = match &plan.video {
            // The engine gives containers their way out.
            Video::Camera(url) if plan.runtime == Runtime::Docker => url.clone(),
            Video::Camera(url) => forwarding::reach(url, &self.network, &mut self.lock)?,
            Video::File { .. } => String::new(),
        };
        let mut starter = Starter { workspace, plan, lock: &mut self.lock, interrupt };
        self.cloud = Some(starter.cloud()?);
        let video = match &plan.video {
            Video::Camera(_) => video,
            Video::File { path, .. } => {
                let (relay, url) = starter.relay(path, gateway)?;
                self.relay = Some(relay);
                url
            }
        };
        if matches!(plan.rate, Rate::Limit(_)) {
            let (shaper, allowance) = starter.shaper(&plan.rate.to_string())?;
            self.shaper = Some(shaper);
            self.allowance = allowance;
        }
        self.started_at = SystemTime::now();
        self.counters = Counters::read(self.network.edge_link().as_deref())?;
        self.tracer = Some(Tracer::start(&plan.out.join("uplink-trace.csv"), self.started_at)?);
        let edge = self.edge.insert(starter.edge(&video, gateway)?);
        if let (Runtime::Docker, Some(shaper)) = (plan.runtime, &mut self.shaper) {
            self.allowance = starter.wait_for_limit(shaper, edge)?;
        }
        self.begun = true;
        Ok(())
    }

    /// Lets the run go on for its duration or until Ctrl-C, then ends the edge.
    ///
    /// # Errors
    ///
    /// If a program ends by itself, the disk fills up, or no frame comes.
    pub fn measure(&mut self, plan: &Plan, interrupt: &Interrupt) -> Result<Measured> {
        stage("running: Ctrl-C ends it early");
        let edge_begin = Instant::now();
        let path = plan.out.join("edge-status.jsonl");
        let mut file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let (mut samples, mut recent, mut first_result) = (Vec::new(), Recent::default(), None);
        let mut line = StatusLine::default();
        while edge_begin.elapsed() < plan.duration && !interrupt.is_set() {
            self.check(plan)?;
            for sample in self.edge_samples(edge_begin) {
                if sample.status.inferred > 0 && first_result.is_none() {
                    first_result = Some(self.begin.elapsed());
                }
                write_line(&mut file, &sample).with_context(|| format!("cannot write {}", path.display()))?;
                recent.sample(sample.clone());
                samples.push(sample);
            }
            if first_result.is_none() && edge_begin.elapsed() > FIRST_RESULT {
                let what = format!("gave no result within {} s", FIRST_RESULT.as_secs());
                bail!(self.edge.as_ref().map_or(what.clone(), |edge| edge.failure(&what)));
            }
            let elapsed = edge_begin.elapsed();
            recent.uplink(elapsed.as_secs_f64(), self.tracer.as_ref().map_or(0, Tracer::wire_bytes));
            line.show(&recent.line(elapsed, plan.rate));
            std::thread::sleep(STEP);
        }
        line.end();
        let interrupted = interrupt.is_set();

        stage("stopping");
        let last = Counters::read(self.network.edge_link().as_deref())?;
        let ended = self.edge.take().map_or(Ok(()), |edge| {
            edge.stop_reading(DRAIN, |text| {
                if let Some(sample) = parse(text, edge_begin) {
                    write_line(&mut file, &sample).ok();
                    samples.push(sample);
                }
            })
        });
        let duration = self.started_at.elapsed().unwrap_or(edge_begin.elapsed());
        // The last packets of closing connections.
        std::thread::sleep(STEP);
        let link = self.network.edge_link();
        let counters = Counters::read(link.as_deref())?;
        let counters = if link.is_some() { counters } else { counters.without_link(&last) };
        let counters = counters.since(&self.counters);
        let trace = match self.tracer.take() {
            Some(tracer) => tracer.finish()?,
            None => Trace::default(),
        };
        let (started_at, allowance) = (self.started_at, self.allowance);
        Ok(Measured {
            started_at,
            duration,
            first_result,
            samples,
            trace,
            counters,
            allowance,
            interrupted,
            ended,
        })
    }

    /// Ends the other programs and removes the network.
    ///
    /// # Errors
    ///
    /// If one did not end well or something stays.
    pub fn end(&mut self) -> Result<()> {
        for part in [self.shaper.take(), self.relay.take(), self.cloud.take()].into_iter().flatten() {
            part.stop(END)?;
        }
        self.lock.clear()
    }

    /// Leaves the programs up until Ctrl-C, then ends them.
    ///
    /// # Errors
    ///
    /// As [`Session::end`], or if a program ends by itself.
    pub fn keep(&mut self, plan: &Plan, interrupt: &Interrupt) -> Result<()> {
        let gateway = self.network.gateway();
        println!();
        let (kept, command) = match plan.runtime {
            Runtime::Namespace => ("namespace", format!("ip netns exec {NAMESPACE} curl")),
            Runtime::Docker => (
                "container's name and network",
                format!("docker run --rm --name {} --network {} IMAGE curl", docker::EDGE, docker::NETWORK),
            ),
        };
        println!("kept until Ctrl-C: the cloud at http://{gateway}:{CLOUD_PORT}, the limit, and the {kept}:");
        println!("    {command} http://{gateway}:{CLOUD_PORT}/healthz");
        while !interrupt.is_set() {
            for part in [&mut self.shaper, &mut self.relay, &mut self.cloud].into_iter().flatten() {
                part.check()?;
            }
            std::thread::sleep(STEP);
        }
        self.end()
    }

    /// Checks that every program runs, the trace goes on, and the disk has room.
    fn check(&mut self, plan: &Plan) -> Result<()> {
        for part in [&mut self.edge, &mut self.shaper, &mut self.relay, &mut self.cloud].into_iter().flatten()
        {
            part.check()?;
        }
        if let Some(tracer) = self.tracer.take_if(|tracer| tracer.has_failed()) {
            tracer.finish()?;
        }
        match free_space(&plan.out) {
            Some(free) if free < LEAST_SPACE => {
                bail!("the disk of {} is full ({free} bytes are left): the run was ended", plan.out.display())
            }
            _ => Ok(()),
        }
    }

    fn edge_samples(&self, begin: Instant) -> Vec<Sample> {
        self.edge.iter().flat_map(Part::lines).filter_map(|line| parse(&line, begin)).collect()
    }
}

impl Drop for Session {
    /// After an error: every program is asked to end, so that the shaper takes its limit away itself.
    fn drop(&mut self) {
        if !self.begun {
            // It has nothing to lose yet; and a container that is being started does not hear that it should end.
            self.edge = None;
        }
        for part in
            [self.edge.take(), self.shaper.take(), self.relay.take(), self.cloud.take()].into_iter().flatten()
        {
            // The error that led here has been told or will be.
            part.stop(END).ok();
        }
    }
}

fn parse(line: &str, begin: Instant) -> Option<Sample> {
    let status: EdgeStatus = serde_json::from_str(line).ok()?;
    Some(Sample { t: (begin.elapsed().as_secs_f64() * 1000.0).round() / 1000.0, status })
}

fn write_line(file: &mut File, sample: &Sample) -> Result<()> {
    let mut line = serde_json::to_vec(sample)?;
    line.push(b'\n');
    file.write_all(&line)?;
    Ok(())
}
