//! Times commands side by side: each round runs every command once, in turn, so that whatever
//! else the machine does hits all of them alike.
//!
//! stdin has a line for each command, `NAME|FILE|PREPARE|COMMAND`: FILE is its stdin (or
//! empty), PREPARE goes to `sh -c` before it and is not timed, COMMAND is split at blanks and
//! run without a shell. Prints `NAME MEDIAN MINIMUM P90`, in microseconds, a line each.
//!
//! `--peak ROUNDS FILE COMMAND…` runs one command with FILE for its stdin, and prints how much
//! memory it had at most, in kB: its own, without that of programs it runs. It takes several
//! rounds to catch a command that is over soon.

use std::{
    error::Error,
    fs::{self, File},
    io::{self, BufRead},
    process::{Command, Stdio},
    time::Instant,
};

struct Runner {
    name: String,
    input: String,
    prepare: String,
    command: Vec<String>,
    times: Vec<u128>,
}

const USAGE: &str = "usage: race ROUNDS | race --peak ROUNDS FILE COMMAND…";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let rounds: usize = match &args[..] {
        [option, rounds, file, program, arguments @ ..] if option == "--peak" => {
            let mut most = 0;
            for _ in 0..rounds.parse()? {
                most = most.max(peak(file, program, arguments)?);
            }
            println!("{most}");
            return Ok(());
        }
        [rounds] => rounds.parse()?,
        _ => return Err(USAGE.into()),
    };
    let lines = io::stdin().lock().lines().collect::<Result<Vec<_>, _>>()?;
    let mut runners = lines
        .iter()
        .map(|line| Runner::read(line))
        .collect::<Result<Vec<_>, _>>()?;
    for round in 0..=rounds {
        for runner in &mut runners {
            let time = runner.run()?;
            // The first round fills the caches.
            if round > 0 {
                runner.times.push(time);
            }
        }
    }
    for runner in &mut runners {
        runner.times.sort_unstable();
        let at = |part: usize| {
            runner
                .times
                .get((runner.times.len() - 1) * part / 100)
                .copied()
        };
        let [median, minimum, p90] = [50, 0, 90].map(|part| at(part).unwrap_or_default());
        println!("{} {median} {minimum} {p90}", runner.name);
    }
    Ok(())
}

/// Looked at again and again while it runs: the kernel forgets it when it ends.
fn peak(file: &str, program: &str, arguments: &[String]) -> Result<u64, Box<dyn Error>> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(File::open(file)?);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let seen = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        most = most.max(seen.unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            return match status.success() {
                true => Ok(most),
                false => Err(format!("{program}: {status}").into()),
            };
        }
    }
}

impl Runner {
    fn read(line: &str) -> Result<Self, String> {
        let fields: Vec<_> = line.splitn(4, '|').map(str::to_owned).collect();
        let [name, input, prepare, command]: [String; 4] = fields
            .try_into()
            .map_err(|_| format!("not NAME|FILE|PREPARE|COMMAND: {line}"))?;
        let command = command.split_whitespace().map(str::to_owned).collect();
        Ok(Self {
            name,
            input,
            prepare,
            command,
            times: Vec::new(),
        })
    }

    fn run(&self) -> Result<u128, Box<dyn Error>> {
        if !self.prepare.is_empty() {
            let status = Command::new("sh").args(["-c", &self.prepare]).status()?;
            if !status.success() {
                return Err(format!("{}: {} failed", self.name, self.prepare).into());
            }
        }
        let (program, arguments) = self.command.split_first().ok_or("no command")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.stdin(match self.input.is_empty() {
            true => Stdio::null(),
            false => File::open(&self.input)?.into(),
        });
        let start = Instant::now();
        let status = command.status()?;
        let time = start.elapsed().as_micros();
        match status.success() {
            true => Ok(time),
            false => Err(format!("{}: {status}", self.name).into()),
        }
    }
}
