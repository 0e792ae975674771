"""What the doctor finds on a machine."""

import socket

import pytest

from wsss_ros.config import share
from wsss_ros.doctor import findings, machine
from wsss_ros.doctor.findings import Finding
from wsss_ros.node_set import arguments


def found(subject: str, given: dict | None = None, shm=None, **variables: str) -> Finding:
    every = machine.findings(arguments(given or {}), variables, *([] if shm is None else [shm]))
    return next(finding for finding in every if finding.subject == subject)


def test_this_machine_can_run_the_tests():
    for subject in ("python", "torch", "weights", "rmw", "domain"):
        assert found(subject).verdict == "ok", found(subject)
    assert found("rmw").text == "rmw_fastrtps_cpp"


def test_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    finding = found("torch", {"device": "cuda"})
    assert finding.verdict == "fault" and "no CUDA GPU; use auto or cpu" in finding.text


def test_the_profile_of_fast_dds(tmp_path):
    assert found("dds profile").verdict == "note" and str(share("config/fastdds.xml")) in found("dds profile").text
    ours = found("dds profile", FASTRTPS_DEFAULT_PROFILES_FILE=str(share("config/fastdds.xml")))
    assert ours.verdict == "ok" and "64 MB" in ours.text
    small = tmp_path / "small.xml"
    small.write_text("<dds><segment_size>524288</segment_size></dds>")
    mine = found("dds profile", FASTDDS_DEFAULT_PROFILES_FILE=str(small))
    assert mine.verdict == "fault" and "segments of 512 kB" in mine.text
    small.unlink()
    gone = found("dds profile", FASTRTPS_DEFAULT_PROFILES_FILE=str(small))
    assert gone.verdict == "fault" and "cannot be read" in gone.text


def test_another_rmw_is_a_note():
    finding = found("rmw", RMW_IMPLEMENTATION="rmw_cyclonedds_cpp")
    assert finding.verdict == "note" and "enlarge the buffers of rmw_cyclonedds_cpp" in finding.text


def test_little_shared_memory(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 60 << 20})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    (tmp_path / "fastrtps_1").write_bytes(bytes(3 << 20))
    finding = found("shared memory", shm=tmp_path)
    assert finding.verdict == "fault" and "60 MB free" in finding.text and "--shm-size" in finding.text
    assert found("shared memory", shm=tmp_path / "none").verdict == "note"


@pytest.mark.parametrize("number, verdict", [("7", "ok"), ("", "ok"), ("233", "fault"), ("robot", "fault")])
def test_the_domain(number, verdict):
    assert found("domain", ROS_DOMAIN_ID=number).verdict == verdict


def test_a_taken_port_is_a_fault_where_the_page_is_wanted():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert found(f"port {port}", {"viewer_port": port}).verdict == "note"
        finding = found(f"port {port}", {"viewer_port": port, "viewer": "true"})
    assert finding.verdict == "fault" and "the viewer cannot be served there" in finding.text


def test_lines_and_status():
    every = [Finding("ok", "a", "b"), Finding("note", "c", "d\n e"), Finding("fault", "f", "g")]
    assert every[1].line() == "note  c              d e"
    assert findings.status(every[:2]) == 0 and findings.status(every) == 1
    assert findings.count(every) == "3 checks, 1 fault, 1 note"
