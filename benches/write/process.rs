//! What processes cost, as Linux accounts for it in /proc.

use std::fs;

use anyhow::Context;

/// Linux tells times in hundredths of a second, however its own clock ticks.
const MICROS_PER_TICK: f64 = 10_000.0;

/// Microseconds for which a process was on a CPU.
pub fn cpu_micros(pid: u32) -> anyhow::Result<f64> {
    Ok(Stat::of(pid)?.own)
}

/// The same of all children of this process that have ended.
pub fn cpu_micros_of_ended_children() -> anyhow::Result<f64> {
    Ok(Stat::of(std::process::id())?.ended_children)
}

/// The same of a process and its children, ended or not.
pub fn cpu_micros_of_family(parent: u32) -> anyhow::Result<f64> {
    let first = Stat::of(parent)?;
    let mut micros = first.own + first.ended_children;
    for entry in fs::read_dir("/proc").context("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may end while we look.
        if let Ok(stat) = Stat::of(pid)
            && stat.parent == parent
        {
            micros += stat.own;
        }
    }
    Ok(micros)
}

/// The process that started this one.
pub fn parent(pid: u32) -> anyhow::Result<u32> {
    Ok(Stat::of(pid)?.parent)
}

/// Bytes of memory that a process has.
pub fn resident_bytes(pid: u32) -> anyhow::Result<f64> {
    memory(pid, "VmRSS:")
}

/// The most bytes that a process had since `forget_peak`.
pub fn peak_bytes(pid: u32) -> anyhow::Result<f64> {
    memory(pid, "VmHWM:")
}

/// From here on the peak is a new one.
pub fn forget_peak(pid: u32) -> anyhow::Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").context(path)
}

fn memory(pid: u32, name: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    Ok(kib.with_context(|| format!("{path} has no {name}"))? * 1024.0)
}

/// What /proc/PID/stat says, times in microseconds.
struct Stat {
    parent: u32,
    own: f64,
    ended_children: f64,
}

impl Stat {
    fn of(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
        // The name, in brackets, may hold blanks and brackets.
        let (_, stat) = stat.rsplit_once(") ").context("stat without a name")?;
        let fields: Vec<&str> = stat.split(' ').collect();
        // By proc(5) the state, which is first here, is the third.
        let field = |number: usize| fields[number - 3].parse::<u32>();
        let micros =
            |one, other| anyhow::Ok(f64::from(field(one)? + field(other)?) * MICROS_PER_TICK);
        Ok(Self { parent: field(4)?, own: micros(14, 15)?, ended_children: micros(16, 17)? })
    }
}
