"""The state of the steps of a run."""

from collections.abc import Iterable

from blindsr.execution.graph import StepGraph

NEEDS: dict[str, set[str]] = {
    "degrade": set(),
    "estimate": {"degrade"},
    "upscale": {"degrade", "estimate"},
    "bicubic": {"degrade"},
    "score": {"upscale"},
}


def _graph(done: Iterable[str] = (), failed: Iterable[str] = ()) -> StepGraph:
    done = set(done)
    return StepGraph(NEEDS, done.__contains__, failed)


def test_each_step_comes_after_what_it_needs_and_long_chains_first() -> None:
    graph = _graph()
    for key in NEEDS:
        assert graph.add(key) == []
    assert (graph.left, graph.ready) == (5, 1)
    order = []
    while graph.ready:
        order.append(graph.take())
        assert graph.running == 1
        graph.finish(order[-1])
    assert order == ["degrade", "estimate", "upscale", "bicubic", "score"]  # bicubic and score are of one height
    assert (graph.left, graph.running) == (0, 0)


def test_what_is_done_is_not_done_again_unless_asked_for() -> None:
    graph = _graph(done=["degrade", "estimate"])
    graph.add("score")
    assert (graph.left, graph.take()) == (2, "upscale")
    graph.add("degrade")
    assert graph.take() == "degrade"


def test_a_failure_takes_with_it_what_needs_it_only() -> None:
    graph = _graph()
    for key in NEEDS:
        graph.add(key)
    graph.finish(graph.take())
    assert graph.take() == "estimate"
    assert graph.fail("estimate") == ["estimate", "upscale", "score"]
    assert (graph.take(), graph.ready, graph.left) == ("bicubic", 0, 1)


def test_what_needs_a_step_that_failed_before_fails_at_once() -> None:
    graph = _graph(done=["degrade"], failed=["estimate"])
    assert graph.add("score") == ["upscale", "score"]
    assert graph.add("upscale") == []
    assert graph.add("estimate") == []
    assert (graph.left, graph.ready) == (0, 0)


def test_a_step_is_tried_once_more_and_no_more() -> None:
    graph = _graph()
    graph.add("degrade")
    key = graph.take()
    graph.release(key)  # it did not begin, which does not count
    assert graph.retry(graph.take())
    assert not graph.retry(graph.take())


def test_a_step_waits_for_one_that_is_to_be_done_again() -> None:
    graph = _graph(done=["degrade", "estimate"])
    graph.add("upscale")
    assert graph.wait_for(graph.take(), "estimate") == []
    assert graph.running == 0
    assert graph.take() == "estimate"
    graph.finish("estimate")
    assert graph.take() == "upscale"


def test_a_step_fails_that_waits_for_one_which_cannot_be_done() -> None:
    graph = _graph(done=["degrade", "estimate"])
    graph.add("upscale")
    graph.take()
    graph.failed.add("degrade")
    assert graph.wait_for("upscale", "estimate") == ["estimate", "upscale"]
    assert (graph.left, graph.running, graph.ready) == (0, 0, 0)


def test_steps_that_are_alike_can_be_taken_together() -> None:
    graph = StepGraph({name: set() for name in "abcd"} | {"last": set("bd")}, lambda key: False)
    for key in ("last", "a", "c"):
        graph.add(key)
    assert (graph.next, graph.ready_like(lambda key: key in "acd")) == ("b", ["d", "a", "c"])
    assert (graph.take("c"), graph.take(), graph.take("d"), graph.take()) == ("c", "b", "d", "a")
    assert (graph.ready, graph.running, graph.left) == (0, 4, 5)
