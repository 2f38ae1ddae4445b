"""Where audit lines can go; one file each."""

from collections.abc import Mapping

from gateway.audit.sink import Sink
from gateway.audit.sinks import file, stdout
from gateway.kind import Kind

SINKS: Mapping[str, Kind[Sink]] = {
    "file": Kind(file.Config, file.build, posture="trusts the directory of the log and whoever may write there"),
    "stdout": Kind(stdout.Config, stdout.build, posture="trusts whoever reads the output; lines can be lost there"),
}
