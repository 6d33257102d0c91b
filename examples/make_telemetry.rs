//! Writes `examples/telemetry/logs.parquet` again, byte for byte: `cargo run --example make_telemetry`.

use counterweight::{logs, simulate};
use std::path::Path;

fn main() -> std::io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/telemetry/logs.parquet");
    logs::write_parquet(&path, &simulate::columns(&simulate::example()))
}
