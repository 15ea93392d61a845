"""report.html: whole, without network, and what it says is what the tables say."""

import re
from collections import Counter
from html.parser import HTMLParser

import pandas as pd
import pytest

from src.results.page import LARGE, picture
from src.results.report import report
from src.run import run
from src.rundir import JOBS, RunDirectory, table_file, write_table
from tests.conftest import compose

SMALL = ["experiment=smoke", "threads=1", "replicas=2", "callbacks.diagnostics.every=null", "success.sequences=60"]
EMPTY = {"meta", "br", "img", "link", "hr", "input"}


class Parsed(HTMLParser):
    """A page whose elements must be closed in their order; its identifiers, links and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.names, self.links, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        self.names += [known["id"]] if "id" in known else []
        self.links += [known[name] for name in ("href", "xlink:href", "src") if name in known]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in EMPTY:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep <of> two")
    jobs = []
    for number, method in enumerate(("msgd", "msgd_c")):
        name = f"{number}_{method}"
        run(compose(*SMALL, f"optimizer={method}"), folder / name)
        jobs.append((name, f"optimizer={method}"))
    write_table(table_file(folder, JOBS), ("directory", "overrides"), [*jobs, ("2_msgd_cr", "optimizer=msgd_cr")])
    command = {"overrides": ["optimizer=msgd,msgd_c,msgd_cr"], "hydra": ["hydra.sweep.dir=x"], "own_folder": []}
    RunDirectory(folder).write_command(command)
    report([folder])
    return folder


def test_the_page_is_whole_and_needs_no_network(sweep):
    text = (sweep / "report.html").read_text()
    page = Parsed(text)
    assert text.startswith("<!DOCTYPE html>\n") and "sweep &lt;of&gt; two" in text
    assert [name for name, count in Counter(page.names).items() if count > 1] == []
    assert all(link.startswith("#") or link.startswith("data:") for link in page.links), page.links
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.names)
    assert set(re.findall(r"url\(#(.*?)\)", text)) <= set(page.names)
    assert text.count("<svg") == 2


def test_it_says_what_the_tables_say(sweep):
    text = " ".join(" ".join(Parsed((sweep / "report.html").read_text()).text).split())
    assert "How often does a recurrent network learn temporal order over 10 steps?" in text
    assert "Method: msgd and msgd_c. 2 replicas of each." in text
    table = pd.read_csv(sweep / "success_rate.csv")
    for row in table.itertuples():
        assert f"{row.optimizer} {row.solved}/{row.replicas} {100 * row.ci_low:.0f}–{100 * row.ci_high:.0f} %" in text
    assert "2 of 3 jobs have ended; not begun: 2_msgd_cr" in text
    assert "python -m src.train -m optimizer=msgd,msgd_c,msgd_cr The tables" not in text
    assert "python -m src.train -m optimizer=msgd,msgd_c,msgd_cr " in text and "hydra.sweep.dir" not in text
    assert "cell.hidden_size 10" in text and "torch " in text


def test_a_page_of_a_single_run_and_of_price(tmp_path, capsys):
    run(compose(*SMALL), tmp_path / "run")
    report([tmp_path / "run"])
    Parsed((tmp_path / "run" / "report.html").read_text())
    keys = ["task=price", "task.length=120", "task.window=3", "task.batch_size=2", "cell=lstm", "cell.hidden_size=6"]
    run(compose(*keys, "optimizer=adam", "schedule=whole", "trainer.max_epochs=2", "replicas=2"), tmp_path / "price")
    report([tmp_path / "price"])
    page = Parsed((tmp_path / "price" / "report.html").read_text())
    assert "How small does the loss" in " ".join(page.text) and "learned" not in page.text


def test_large_drawings_are_shown_as_pictures(tmp_path):
    (tmp_path / "error.svg").write_text("<svg>" + " " * LARGE + "</svg>")
    (tmp_path / "error.png").write_bytes(b"abc")
    assert picture(tmp_path, "error") == '<img alt="error" src="data:image/png;base64,YWJj">'
