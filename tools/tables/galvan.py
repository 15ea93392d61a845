"""Tables of Galvan's statements."""

from collections.abc import Callable

from tools.tables.words import NOT_RUN, fraction, markdown, median, of, rate, read, thousands


def galvan_rho() -> list[str]:
    """Clipped SGD on temporal order by its start, at Galvan's setting and at another one."""
    replicas = read("galvan_rho")
    lengths = sorted(replicas["length"].unique())
    starts = {"ρ = 1.2": replicas["cell.spectral_radius"] == 1.2, "as drawn": replicas["cell.spectral_radius"].isna()}
    rows = []
    for batch, lr, updates in ((100, 0.001, 300_000), (20, 0.01, 100_000)):
        setting = f"batches of {batch}, lr {fraction(lr, 3).rstrip('0')}, {thousands(updates)} updates"
        for name, chosen in starts.items():
            alike = of(replicas[chosen], **{"task.batch_size": batch, "optimizer.lr": lr, "trainer.max_steps": updates})
            rates = [of(alike, length=length) for length in lengths]
            rows.append([name, setting, *(rate(own) if len(own) else NOT_RUN for own in rates)])
    return markdown(["start", "setting", *map(str, lengths)], rows)


def galvan_simplex() -> list[str]:
    """Clipped SGD, the simplex direction, and the latter with switching, at length 50."""
    replicas = read("galvan_simplex")
    names = {"msgd_c": "clipped SGD", "simplex": "simplex direction", "simplex_switching": "with switching"}
    rows = [
        [name, rate(of(replicas, optimizer=key)), median(of(replicas, optimizer=key))] for key, name in names.items()
    ]
    return markdown(["method", "solved", "median updates"], rows)


TABLES: dict[str, Callable[[], list[str]]] = {
    "galvan_rho": galvan_rho,
    "galvan_simplex": galvan_simplex,
}
"""What makes the table of each name."""
