//! Times commands side by side: each round runs every command once, in turn, so that whatever
//! else the machine does hits all of them alike.
//!
//! stdin has a line for each command, `NAME|FILE|PREPARE|COMMAND`: FILE is its stdin (or
//! empty), PREPARE goes to `sh -c` before it and is not timed, COMMAND is split at blanks and
//! run without a shell. Prints `NAME MEDIAN MINIMUM P90`, in microseconds, a line each.

use std::{
    error::Error,
    fs::File,
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

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: usize = std::env::args()
        .nth(1)
        .ok_or("usage: race ROUNDS")?
        .parse()?;
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
