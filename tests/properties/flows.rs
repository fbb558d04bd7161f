//! At no moment passes a packet that the config in force does not allow, be it of a connection
//! that is open already; and what it allows does pass.
//!
//! One namespace is enough. Every network has a cable in its bridge, and so has the outside; at
//! its far end a packet socket plays the guests. After each event every place sends every probe
//! once, and what arrives has to be what policy allows. While an event is carried out, all probes
//! are sent again and again: what arrives then has to be allowed before it or after it.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use proptest::{
    bool, collection, option,
    prelude::{Just, Strategy},
    prop_oneof,
    sample::{select, subsequence},
    test_runner::{Config as RunnerConfig, TestCaseError, TestRunner},
};
use virt_forward_policy::{
    Access, Decision, Endpoint, Packet, access_of, config::Config, evaluate, network::Network,
};

use crate::{
    host::Outcome,
    packets::{Addresses, Content, Socket, Tag, frame},
    world::{self, Definition, Event, Fault, Place, World},
};

/// As many as take some half a minute.
const CASES: u32 = 32;
/// For which the last of what is allowed has to arrive.
const PATIENCE: Duration = Duration::from_secs(3);
/// In which what is not allowed may still come.
const QUIET: Duration = Duration::from_millis(10);
/// No more frames than the kernel queues for a CPU are sent at once.
const BURST: usize = 100;
/// Between rounds during an event, which needs the CPU, too.
const PAUSE: Duration = Duration::from_millis(1);
const MOST_SHRINK_TIME: Duration = Duration::from_secs(60);
/// So many wrong probes are named.
const NAMED: usize = 12;

const KINDS: [Packet; 3] = [Packet::Udp(5000), Packet::Udp(5001), Packet::Icmp];
/// Nothing that a rule could name: a packet that only a group allows.
const ANY: Packet = Packet::Udp(4);

/// Two addresses, of one who opens a connection and one who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flow {
    client: Ipv4Addr,
    server: Ipv4Addr,
    /// The place of its kind in [`KINDS`].
    kind: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

/// A packet of a flow, sent from a place, be it that of the address it is from or not.
#[derive(Clone, Copy, Debug)]
struct Probe {
    place: Place,
    flow: Flow,
    way: Way,
}

impl Probe {
    /// From own addresses first, and those that open connections before the answers.
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for place in Place::ALL {
            for flow in Flow::all() {
                for way in [Way::There, Way::Back] {
                    all.push(Self { place, flow, way });
                }
            }
        }
        all.retain(|probe| {
            let is_at_home = probe.place.addresses().contains(&probe.target());
            !is_at_home && (probe.is_own() || probe.flow.kind == 0)
        });
        all.sort_by_key(|probe| (!probe.is_own(), probe.way == Way::Back));
        all
    }

    fn source(&self) -> Ipv4Addr {
        match self.way {
            Way::There => self.flow.client,
            Way::Back => self.flow.server,
        }
    }

    fn target(&self) -> Ipv4Addr {
        match self.way {
            Way::There => self.flow.server,
            Way::Back => self.flow.client,
        }
    }

    fn is_own(&self) -> bool {
        self.place.addresses().contains(&self.source())
    }

    fn frame(&self, tag: Tag) -> Vec<u8> {
        let (source, target) = (self.source(), self.target());
        let addresses = Addresses {
            macs: (self.place.guest(source), self.place.router()),
            ips: (source, target),
        };
        frame(&addresses, self.content(), tag)
    }

    fn content(&self) -> Content {
        let client = self.flow.port();
        match (self.flow.packet(), self.way) {
            (Packet::Udp(server), Way::There) => Content::Udp {
                from: client,
                to: server,
            },
            (Packet::Udp(server), Way::Back) => Content::Udp {
                from: server,
                to: client,
            },
            (_, Way::There) => Content::Echo { identifier: client },
            (_, Way::Back) => Content::EchoReply { identifier: client },
        }
    }
}

impl Flow {
    fn all() -> Vec<Self> {
        let addresses: BTreeSet<_> = Place::ALL.into_iter().flat_map(Place::addresses).collect();
        let mut all = Vec::new();
        for client in &addresses {
            for server in addresses.iter().filter(|server| *server != client) {
                all.extend((0..KINDS.len()).map(|kind| Self {
                    client: *client,
                    server: *server,
                    kind,
                }));
            }
        }
        all
    }

    fn packet(&self) -> Packet {
        KINDS.get(self.kind).copied().unwrap_or(ANY)
    }

    /// The client's, or the identifier of its pings: no other flow has it.
    fn port(&self) -> u16 {
        // Subnet and address are below 64, and tell all addresses apart.
        let short = |address: Ipv4Addr| {
            let [_, _, subnet, host] = address.octets();
            u16::from(subnet) * 2 + u16::from(host) % 2
        };
        let kind = u16::try_from(self.kind).unwrap_or_default();
        20_000 + (short(self.client) * 32 + short(self.server)) * 4 + kind
    }
}

/// What has to become of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passes,
    Refused,
    /// Its source is not its place's own. A network that may answer may do so by another bridge:
    /// where `is_open` and `may_answer`, nothing is said of it.
    Forged {
        is_open: bool,
        may_answer: bool,
    },
}

impl Verdict {
    fn has_to_pass(self) -> bool {
        self == Self::Passes
    }

    fn has_to_be_refused(self) -> bool {
        self.has_to_be_refused_with(self)
    }

    /// In between two moments.
    fn has_to_be_refused_with(self, other: Self) -> bool {
        let may_pass = self == Self::Passes || other == Self::Passes;
        let is_open = self.is_open() || other.is_open();
        !may_pass && !(is_open && (self.may_answer() || other.may_answer()))
    }

    /// Whether its connection is, be it sent by who is none of its ends.
    fn is_open(self) -> bool {
        matches!(self, Self::Passes | Self::Forged { is_open: true, .. })
    }

    fn may_answer(self) -> bool {
        let Self::Forged { may_answer, .. } = self else {
            return false;
        };
        may_answer
    }
}

/// The config in force and the networks that it is in force for.
struct Policy<'a> {
    world: &'a World,
    accesses: BTreeMap<Place, Access>,
}

impl<'a> Policy<'a> {
    fn of(world: &'a World) -> Self {
        let access = |place| {
            let running = world.running(place)?;
            let access = match running.is_closed() {
                true => Access::default(),
                false => access_of(&world.config, &running.network),
            };
            Some((place, access))
        };
        Self {
            world,
            accesses: Place::NETWORKS.into_iter().filter_map(access).collect(),
        }
    }

    fn verdicts(&self, probes: &[Probe]) -> Vec<Verdict> {
        probes.iter().map(|probe| self.verdict(probe)).collect()
    }

    fn verdict(&self, probe: &Probe) -> Verdict {
        let (source, target, flow) = (probe.source(), probe.target(), probe.flow);
        let is_active = probe.place == Place::Outside || self.network(probe.place).is_some();
        if !is_active || self.world.place_of(target).is_none() {
            return Verdict::Refused;
        }
        if !probe.is_own() {
            return Verdict::Forged {
                is_open: self.is_any_open(source, target),
                may_answer: self.may_answer(probe.place, target),
            };
        }
        // An answer that belongs to no connection opens one.
        let passes = self.allows(flow.client, flow.server, flow.packet())
            || probe.way == Way::Back && self.allows(source, target, ANY);
        match passes {
            true => Verdict::Passes,
            false => Verdict::Refused,
        }
    }

    fn network(&self, place: Place) -> Option<(&Network, &Access)> {
        let running = self.world.running(place)?;
        Some((&running.network, self.accesses.get(&place)?))
    }

    /// Whether a connection from one guest's own address to another's may be opened.
    fn allows(&self, from: Ipv4Addr, to: Ipv4Addr, packet: Packet) -> bool {
        let endpoint = |address: Ipv4Addr| {
            let place = self.world.place_of(address)?;
            Some(Endpoint {
                address: IpAddr::V4(address),
                network: self.network(place),
            })
        };
        let (Some(from), Some(to)) = (endpoint(from), endpoint(to)) else {
            return false;
        };
        let is_outside = from.network.is_none() && to.network.is_none();
        let decision = evaluate(&self.world.config, packet, &from, &to);
        !is_outside && matches!(decision, Decision::AllowedByPolicy { .. })
    }

    fn is_any_open(&self, one: Ipv4Addr, other: Ipv4Addr) -> bool {
        let mut kinds = KINDS.into_iter().chain([ANY]);
        kinds.any(|kind| self.allows(one, other, kind) || self.allows(other, one, kind))
    }

    /// Whether guests there are in touch with that address.
    fn may_answer(&self, place: Place, address: Ipv4Addr) -> bool {
        let own = place.addresses();
        own.into_iter().any(|own| self.is_any_open(own, address))
    }
}

/// What has arrived, and where.
type Arrivals = BTreeSet<(Tag, Place)>;

/// The cables, and all probes.
struct Lab {
    sockets: BTreeMap<Place, Socket>,
    probes: Vec<Probe>,
    phase: Cell<u32>,
    seen: RefCell<Seen>,
}

/// What a run was made of.
#[derive(Debug, Default)]
struct Seen {
    events: usize,
    /// Rounds in the course of events.
    rounds: usize,
    passed: usize,
    /// Flows that an event has closed.
    cut: usize,
}

impl Lab {
    fn new() -> Outcome<Self> {
        world::lay_cables()?;
        let socket = |place: Place| Ok((place, Socket::on(&place.far_end())?));
        Ok(Self {
            sockets: Place::ALL.into_iter().map(socket).collect::<Outcome<_>>()?,
            probes: Probe::all(),
            phase: Cell::default(),
            seen: RefCell::default(),
        })
    }

    /// A number of its own for what is sent from now on.
    fn next_phase(&self) -> u32 {
        self.phase.set(self.phase.get() + 1);
        self.phase.get()
    }

    /// Sends the probes that `is_meant` names, once.
    fn send(
        sockets: &BTreeMap<Place, Socket>,
        probes: &[Probe],
        phase: u32,
        arrivals: &mut Arrivals,
        is_meant: impl Fn(usize) -> bool,
    ) {
        let meant = (0..).zip(probes).enumerate();
        let meant: Vec<_> = meant.filter(|(place, _)| is_meant(*place)).collect();
        for burst in meant.chunks(BURST) {
            for (_, (number, probe)) in burst {
                let tag = Tag {
                    phase,
                    probe: *number,
                };
                if let Some(socket) = sockets.get(&probe.place) {
                    socket.send(&probe.frame(tag));
                }
            }
            Self::drain(sockets, arrivals);
        }
    }

    fn drain(sockets: &BTreeMap<Place, Socket>, arrivals: &mut Arrivals) {
        for (place, socket) in sockets {
            socket.drain(|tag| {
                arrivals.insert((tag, *place));
            });
        }
    }

    /// What arrives is what is allowed.
    fn check(&self, world: &World) -> Outcome<Vec<Verdict>> {
        let verdicts = Policy::of(world).verdicts(&self.probes);
        let phase = self.next_phase();
        let mut arrivals = Arrivals::new();
        let end = Instant::now() + PATIENCE;
        Self::send(&self.sockets, &self.probes, phase, &mut arrivals, |_| true);
        let missing = loop {
            Self::drain(&self.sockets, &mut arrivals);
            let missing = self.missing(&verdicts, phase, &arrivals);
            if missing.is_empty() || Instant::now() > end {
                break missing;
            }
            thread::sleep(PAUSE * 5);
            // A frame may be lost.
            let again = |place| missing.contains(&place);
            Self::send(&self.sockets, &self.probes, phase, &mut arrivals, again);
        };
        thread::sleep(QUIET);
        Self::drain(&self.sockets, &mut arrivals);
        let mut faults: Vec<_> = missing
            .iter()
            .filter_map(|place| self.probes.get(*place))
            .map(|probe| format!("allowed, and does not arrive: {probe:?}"))
            .collect();
        let is_refused = |place| {
            verdicts
                .get(place)
                .is_none_or(|one: &Verdict| one.has_to_be_refused())
        };
        faults.extend(self.wrong(&arrivals, &[world], is_refused, phase));
        self.seen.borrow_mut().passed += arrivals.len();
        outcome(&faults).map(|()| verdicts)
    }

    fn missing(&self, verdicts: &[Verdict], phase: u32, arrivals: &Arrivals) -> BTreeSet<usize> {
        let tag = |probe| Tag { phase, probe };
        let arrived = |number: u32, probe: &Probe| {
            let mut places = Place::ALL.into_iter();
            places.any(|place| {
                place.addresses().contains(&probe.target())
                    && arrivals.contains(&(tag(number), place))
            })
        };
        let all = (0..).zip(&self.probes).zip(verdicts).enumerate();
        all.filter(|(_, ((number, probe), verdict))| {
            verdict.has_to_pass() && !arrived(*number, probe)
        })
        .map(|(place, _)| place)
        .collect()
    }

    /// The arrivals since `phase` that are wrong.
    fn wrong(
        &self,
        arrivals: &Arrivals,
        worlds: &[&World],
        is_refused: impl Fn(usize) -> bool,
        phase: u32,
    ) -> Vec<String> {
        let mut faults = Vec::new();
        for (tag, at) in arrivals.iter().filter(|(tag, _)| tag.phase >= phase) {
            let number = usize::try_from(tag.probe).unwrap_or(usize::MAX);
            let Some(probe) = self.probes.get(number) else {
                continue;
            };
            let mut places = worlds.iter().map(|world| world.place_of(probe.target()));
            if is_refused(number) {
                faults.push(format!("not allowed, and arrives at {at:?}: {probe:?}"));
            } else if !places.any(|place| place == Some(*at)) {
                faults.push(format!("arrives at {at:?}: {probe:?}"));
            }
        }
        faults
    }

    /// Carries out `event`, with all probes sent meanwhile.
    fn play(&self, before: &World, event: &Event, was: &[Verdict]) -> Outcome<World> {
        let after = before.after(event)?;
        let phase = self.next_phase();
        let (sockets, probes) = (&self.sockets, &self.probes);
        let is_over = AtomicBool::new(false);
        let (outcome_of_event, (arrivals, rounds)) = thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let (mut arrivals, mut rounds) = (Arrivals::new(), 0);
                while !is_over.load(Ordering::Relaxed) {
                    Self::send(sockets, probes, phase, &mut arrivals, |_| true);
                    thread::sleep(PAUSE);
                    rounds += 1;
                }
                thread::sleep(QUIET);
                Self::drain(sockets, &mut arrivals);
                (arrivals, rounds)
            });
            let outcome = before.play(event);
            is_over.store(true, Ordering::Relaxed);
            (outcome, sender.join().unwrap_or_default())
        });
        outcome_of_event?;
        let is = Policy::of(&after).verdicts(probes);
        // Without our table nothing ends a connection that it has opened, nor keeps others out of it.
        let is_without_table = matches!(event, Event::Flush);
        let is_refused = |place: usize| match (was.get(place), is.get(place)) {
            (Some(was), Some(is)) if is_without_table => !was.is_open() && !is.is_open(),
            (Some(was), Some(is)) => Verdict::has_to_be_refused_with(*was, *is),
            _ => true,
        };
        let mut seen = self.seen.borrow_mut();
        seen.events += 1;
        seen.rounds += rounds;
        let cut = was.iter().zip(&is);
        let cut = cut.filter(|(was, is)| was.has_to_pass() && is.has_to_be_refused());
        seen.cut += cut.count();
        let faults = self.wrong(&arrivals, &[before, &after], is_refused, phase);
        outcome(&faults).map_err(|why| format!("meanwhile: {why}"))?;
        Ok(after)
    }

    fn case(&self, case: &Case) -> Outcome<()> {
        world::begin(&case.config)?;
        let mut world = World::new(&case.config)?;
        let mut was = self.check(&world)?;
        for (number, event) in (1..).zip(&case.events) {
            let failed = |why| format!("event {number}, {event:?}: {why}");
            world = self.play(&world, event, &was).map_err(failed)?;
            was = self.check(&world).map_err(failed)?;
        }
        Ok(())
    }
}

fn outcome(faults: &[String]) -> Outcome<()> {
    let mut text = format!("{} probes are wrong", faults.len());
    for fault in faults.iter().take(NAMED) {
        let _ = write!(text, "\n  {fault}");
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(text),
    }
}

/// A config at the beginning, and what happens then.
#[derive(Clone, Debug)]
struct Case {
    config: String,
    events: Vec<Event>,
}

const PATTERNS: [&str; 8] = ["*", "?", "a", "b", "[ab]", "[bc]", "{a,t}", "iso"];
const PEERS: [&[&str]; 4] = [&[], &[], &["192.168.0.30"], &["192.168.0.0/24"]];
/// Each is in one network that is active, or outside.
const SUBNETS: [&str; 6] = [
    "10.17.1.0/24",
    "10.17.2.21",
    "10.17.3.21",
    // Of a network that subnets do not take in.
    "10.17.9.0/24",
    "192.168.0.30",
    "192.168.0.0/24",
];

fn case() -> impl Strategy<Value = Case> {
    // Most of it is about networks that are active.
    let starts = subsequence(Place::NETWORKS.to_vec(), 2..=4).prop_shuffle();
    let starts = starts.prop_map(|places| {
        let start = |place| Event::Start(place, place, Definition::default());
        places.into_iter().map(start).collect::<Vec<_>>()
    });
    let events = collection::vec(event(), 2..7);
    (config(), starts, events).prop_map(|(config, starts, events)| Case {
        config,
        events: [starts, events].concat(),
    })
}

/// Those that something did not hold for once.
fn found() -> [Case; 1] {
    let definition = |groups: Option<&[&'static str]>, fault| Definition {
        groups: groups.map(<[_]>::to_vec),
        fault,
    };
    let start = |place, definition| Event::Start(place, place, definition);
    // A closed network with the subnet of a rule counted as outside: its connections stayed, and
    // members of a group with their other end could answer in its place.
    let closed = Case {
        config: "[[group]]\nname = \"g0\"\nnetworks = [\"[bc]\"]\n\
                 [[allow]]\nfrom = \"*\"\nto = \"10.17.1.0/24\"\nudp = [5000]\n"
            .to_owned(),
        events: vec![
            start(Place::A, definition(None, None)),
            start(Place::C, definition(None, None)),
            start(Place::Tenant, definition(Some(&["g0"]), None)),
            Event::Update(Place::A, definition(None, Some(Fault::Policy))),
        ],
    };
    [closed]
}

fn event() -> impl Strategy<Value = Event> {
    let place = || select(Place::NETWORKS.to_vec());
    prop_oneof![
        3 => (place(), definition()).prop_map(|(place, definition)| Event::Start(place, place, definition)),
        1 => (place(), place(), definition())
            .prop_map(|(place, bridge, definition)| Event::Start(place, bridge, definition)),
        2 => place().prop_map(Event::Stop),
        3 => (place(), definition()).prop_map(|(place, definition)| Event::Update(place, definition)),
        3 => config().prop_map(Event::Config),
        1 => place().prop_map(Event::Remove),
        1 => Just(Event::RemoveAll),
        1 => Just(Event::Flush),
    ]
}

fn definition() -> impl Strategy<Value = Definition> {
    let groups = option::weighted(0.4, subsequence(vec!["g0", "g1"], 0..=2));
    let fault = option::weighted(0.2, select(vec![Fault::Policy, Fault::IllFormed]));
    (groups, fault).prop_map(|(groups, fault)| Definition { groups, fault })
}

/// One that is right, with a group or two.
fn config() -> impl Strategy<Value = String> {
    let groups = collection::vec(group(), 1..=2);
    let rules = collection::vec(rule(), 0..=2);
    let text = (groups, rules).prop_map(|(groups, rules)| {
        let mut text = String::new();
        for (number, group) in groups.iter().enumerate() {
            text += &format!("[[group]]\nname = \"g{number}\"\n{group}");
        }
        text + &rules.concat()
    });
    let is_right = |text: &String| Config::read(text, String::new()).is_ok();
    text.prop_filter("right", is_right)
}

fn group() -> impl Strategy<Value = String> {
    let networks = subsequence(PATTERNS.to_vec(), 0..=3);
    (networks, select(PEERS.to_vec()))
        .prop_map(|(networks, peers)| format!("networks = {networks:?}\npeers = {peers:?}\n"))
}

fn rule() -> impl Strategy<Value = String> {
    let end = || {
        prop_oneof![
            select(PATTERNS.to_vec()),
            select(SUBNETS.to_vec()),
            Just("g0"),
        ]
    };
    let ports = select(vec!["", "5000", "5001", "\"5000-5001\""]);
    (end(), end(), ports, bool::ANY).prop_map(|(from, to, ports, icmp)| {
        // Something has to pass.
        let icmp = icmp || ports.is_empty();
        format!("[[allow]]\nfrom = {from:?}\nto = {to:?}\nudp = [{ports}]\nicmp = {icmp}\n")
    })
}

/// All cases; what they were.
pub(crate) fn run(cases: Option<u32>) -> ExitCode {
    let cases = cases.unwrap_or(CASES);
    match outcome_of(cases) {
        Ok(said) => {
            println!("{cases} cases: {said}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn outcome_of(cases: u32) -> Outcome<String> {
    let lab = Lab::new()?;
    let mut runner = TestRunner::new(RunnerConfig {
        cases,
        failure_persistence: None,
        max_shrink_time: u32::try_from(MOST_SHRINK_TIME.as_millis()).unwrap_or(u32::MAX),
        ..RunnerConfig::default()
    });
    for case in found() {
        lab.case(&case).map_err(|why| format!("{why}\n{case:#?}"))?;
    }
    let outcome = runner.run(&case(), |case| lab.case(&case).map_err(TestCaseError::fail));
    outcome.map_err(|why| why.to_string())?;
    let seen = lab.seen.borrow();
    // Where nothing ever passes, or is closed again, nothing was tested.
    match seen.passed == 0 || seen.cut == 0 {
        true => Err(format!("nothing was tested: {seen:?}")),
        false => Ok(format!(
            "{} events, {} probes sent {} times in the course of them; {} passed, {} flows were cut",
            seen.events,
            lab.probes.len(),
            seen.rounds,
            seen.passed,
            seen.cut
        )),
    }
}
