//! The two sources of configuration, merged: the file and the environment.

use std::path::Path;

use config::{Config, Environment, File, FileFormat, Map, Value};

use super::error::{ConfigError, ConfigErrors};

/// What every environment variable of ours begins with.
pub(crate) const ENV_PREFIX: &str = "SETTLE_";

/// What separates section and key in an environment variable. Names without it are not ours:
/// Kubernetes injects `SETTLE_PORT` and the like for a service called settle.
pub(crate) const ENV_SEPARATOR: &str = "__";

/// The environment of this process, as far as it can be read; what is not UTF-8 is not ours.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The name of the environment variable that sets `key`.
pub(crate) fn variable(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replace('.', ENV_SEPARATOR).to_uppercase())
}

/// File and environment as one tree. A value from the environment has an origin, one from the file
/// has none.
pub(crate) fn load(
    path: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Value, ConfigErrors> {
    let mut builder = Config::builder();
    if let Some(path) = path {
        let (text, format) = read_file(path)?;
        // Parsed alone first, so that an error is known to be the file's.
        let file = File::from_str(&text, format);
        Config::builder()
            .add_source(file.clone())
            .build()
            .map_err(|error| ConfigErrors::one(path.display().to_string(), syntax_problem(&error)))?;
        builder = builder.add_source(file);
    }
    let environment = Environment::with_prefix(ENV_PREFIX.trim_end_matches('_'))
        .prefix_separator("_")
        .separator(ENV_SEPARATOR)
        .source(Some(overrides(env)?));
    let merged = builder
        .add_source(environment)
        .build()
        .map_err(|error| ConfigErrors::one("environment", syntax_problem(&error)))?;
    Ok(merged.cache)
}

fn read_file(path: &Path) -> Result<(String, FileFormat), ConfigErrors> {
    let place = path.display().to_string();
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => FileFormat::Toml,
        Some("yaml" | "yml") => FileFormat::Yaml,
        _ => {
            return Err(ConfigErrors::one(place, "the file name must end in .toml, .yaml or .yml"));
        }
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigErrors::one(place, format!("cannot read the file: {error}")))?;
    Ok((text, format))
}

/// The variables that are ours, checked to name a section and a key.
fn overrides(env: impl Iterator<Item = (String, String)>) -> Result<Map<String, String>, ConfigErrors> {
    let mut ours = Map::new();
    let mut errors = ConfigErrors::default();
    for (name, value) in env {
        let Some(rest) = name.strip_prefix(ENV_PREFIX).filter(|rest| rest.contains(ENV_SEPARATOR)) else {
            continue;
        };
        let good = |segment: &str| {
            !segment.is_empty() && segment.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if rest.split(ENV_SEPARATOR).all(good) {
            ours.insert(name, value);
        } else {
            let problem = format!("expected a name of the form {ENV_PREFIX}<SECTION>{ENV_SEPARATOR}<KEY>");
            errors.0.push(ConfigError { place: name, key: String::new(), problem });
        }
    }
    if errors.0.is_empty() { Ok(ours) } else { Err(errors) }
}

/// A parser's message without the excerpt of the file that it shows, for that may hold a secret.
fn syntax_problem(error: &config::ConfigError) -> String {
    let message = match error {
        config::ConfigError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    let is_excerpt = |line: &str| {
        line.trim_start_matches([' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']).starts_with('|')
    };
    let kept: Vec<&str> = message.lines().map(str::trim_end).filter(|line| !is_excerpt(line)).collect();
    kept.join(": ")
}
