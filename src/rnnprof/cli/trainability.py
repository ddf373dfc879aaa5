"""``rnnprof trainability``: how far gradients reach, and how much a larger batch helps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rnnprof.cli import options as opt
from rnnprof.cli.command import MeasuringCommand, table_options
from rnnprof.cli.echo import say, say_json, say_written
from rnnprof.cli.orders import run_path
from rnnprof.cli.printed import note_printed
from rnnprof.cli.profile import EXIT_MISSING, carry_out
from rnnprof.errors import BadInputError

if TYPE_CHECKING:
    from rnnprof.engine.order import Order
    from rnnprof.runfile.records import Run
    from rnnprof.runfile.study import Study
    from rnnprof.workload import Workload


@click.command(cls=MeasuringCommand)
@table_options("trainability")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """How far gradients reach back, and how much a larger batch helps.

    At each T, before and after some training: how far the gradient of the last step's loss reaches
    back; after training also the noise scale, the batch above which a larger one helps less. With
    --target also the time to that loss at each batch. The same command on an unfinished run file
    resumes it.
    """  # fmt: skip
    run = carry_out(_order(ctx, options), options)
    return _answer(run, options)


def _order(ctx: click.Context, options: dict[str, Any]) -> Order:
    from dataclasses import replace

    from rnnprof.engine.order import Order
    from rnnprof.runfile.points import Grid

    if options["seed"] + options["seeds"] >= 1 << 63:
        raise BadInputError(f"--seed {options['seed']} leaves no room for --seeds")
    opt.refuse_simulation(options, "what is learned takes kernels")
    place = opt.place_from(options)
    settings = opt.settings_from({**options, "headroom": 0.05, "reserve": None})
    trained = opt.workload_from(ctx, options)
    study = _study(options, trained.workload)
    workload = _for_task(ctx, trained.workload, study)
    return Order(
        workload=workload,
        grid=Grid(options["batch"], options["time_steps"]),
        settings=replace(settings, study=study),
        path=run_path(options["output"], f"{workload.name}-{place.kind}-trainability"),
        command="trainability",
        device=place.device,
        device_uuid=place.uuid,
        factory_path=trained.factory_path,
        secrets=trained.secrets,
        extend=options["extend"],
        overwrite=options["overwrite"],
    )


def _study(options: dict[str, Any], workload: Workload) -> Study:
    from rnnprof.runfile.study import Study

    return Study(
        task=None if workload.factory else options["task"],
        train_steps=options["train_steps"],
        draws=options["draws"],
        small_batch=options["small_batch"],
        parts=options["parts"],
        reach_ratio=options["reach_at"],
        learning_rate=options["learning_rate"],
        rate_rule=options["rate_rule"],
        rate_batch=options["rate_batch"],
        clip_norm=options["clip"],
        target_loss=options["target"],
        seeds=options["seeds"],
        budget_s=options["train_seconds"],
        evaluate_every=options["evaluate_every"],
    )


def _for_task(ctx: click.Context, workload: Workload, study: Study) -> Workload:
    """The workload with the task's input size.

    Raises:
        BadInputError: the study cannot use the workload.
    """
    from dataclasses import replace

    from rnnprof.runfile.study import LEAST_STEPS, TASK_INPUTS

    if study.task is None:
        return workload
    if workload.mode != "train":
        raise BadInputError("--mode inference learns nothing: leave it out")
    if workload.optimizer == "none" and study.target_loss is not None:
        raise BadInputError("--optimizer none reaches no target: leave one of the two out")
    inputs = TASK_INPUTS[study.task]
    is_given = ctx.get_parameter_source("input_size") is click.core.ParameterSource.COMMANDLINE
    if is_given and workload.input_size != inputs:
        raise BadInputError(
            f"--input-size {workload.input_size}: the {study.task} task has {inputs} features"
        )
    least = LEAST_STEPS[study.task]
    if min(ctx.params["time_steps"]) < least:
        raise BadInputError(
            f"--time-steps: the {study.task} task needs at least {least} time steps"
        )
    return replace(workload, input_size=inputs)


def _answer(run: Run, options: dict[str, Any]) -> int:
    from rnnprof.plain_text import one_line
    from rnnprof.report.export.trainability import trainability_document
    from rnnprof.report.model import report_of
    from rnnprof.report.text.trainability import trainability_in_words
    from rnnprof.runfile.observations import Gradient, Learning
    from rnnprof.runfile.points import GOOD_OUTCOMES

    report = report_of(run)
    if options["as_json"]:
        say_json(trainability_document(report))
    else:
        say(trainability_in_words(report))
    say_written([str(run.path)])
    passes = [o for o in run.observations if isinstance(o, (Gradient, Learning))]
    outcomes = {each.outcome for each in passes}
    failed = [each for each in passes if each.outcome not in GOOD_OUTCOMES]
    for each in failed[-3:]:
        say(f"{each.point}: {one_line(each.reason or '')}", err=True)
    note_printed(run)
    return 0 if outcomes <= GOOD_OUTCOMES and passes else EXIT_MISSING
