# SPDX-License-Identifier: Apache-2.0
"""plant.py SOURCE OUTPUT FAULT: src/deploy/lifecycle.c with one of the faults that it once replaced."""
import pathlib
import sys

FAULTS = {
    # Told to end while a stop was to be carried out, lightermand left the application running.
    "an_end_forgets_a_stop": ("(l->exit_takes_down || l->wanted.state == WANTED_DOWN)", "l->exit_takes_down"),
    # A deployment after a stop that failed at once left the application wanted up.
    "a_refused_deployment_undoes_a_stop": ("if (target.state == WANTED_NOTHING || (l->touched && !stays_down))", "if (true || stays_down)"),
    # A start that failed after `down` was not tried again.
    "only_what_is_untouched_is_tried_again": ("\tretry(l);\n\tsave_touched",
                                              "\tif (l->touched) {\n\t\tl->given_up = true;\n\t\treturn is_first;\n\t}\n"
                                              "\tretry(l);\n\tsave_touched"),
    # While an outcome could not be recorded no command was carried out.
    "what_cannot_be_recorded_blocks": ("} else if (is_next_due(l)) {",
                                       "} else if (l->unrecorded) {\n\t\treturn;\n\t} else if (is_next_due(l)) {"),
    # A stop was answered although something still ran.
    "a_stop_believes_its_worker": ("begin_look(l, actions); // whether that is so",
                                   "set_actual(l, ACTUAL_NOTHING, 0);\n\t\tanswer_present(l, actions, stop_answer(l));\n"
                                   "\t\tproceed(l, actions);"),
    # The definite failure that ended a series of tries was not published.
    "a_last_failure_is_silent": ("go_back(l, actions);\n\t\treturn true;", "go_back(l, actions);\n\t\treturn is_first;"),
    # What was rolled back was tried again at the next start.
    "what_is_rolled_back_is_tried_again": ("quarantine(l, n, QUARANTINE_FAILED, actions);", ""),
    # The power was cut after that, and before what is wanted instead was saved.
    "a_cut_makes_what_is_quarantined_wanted": ("if (record->wanted_quarantined && good", "if (false && good"),
    # Who had ordered a deployment that is rolled back was answered before that.
    "an_answer_comes_before_the_rollback": ("if (is_back && l->client)", "if (false)"),
    # A success on probation was as any other.
    "a_probation_is_passed_at_once": ("if (!l->probation)\n\t\tl->proven = n;", "l->proven = n;"),
    # What a person had left came back.
    "what_is_left_is_not_quarantined": ("quarantine(l, l->leaves, QUARANTINE_BY_PERSON, actions);", "(void)actions;"),
    # A deployment that was ordered during a rollback was taken for the rollback itself.
    "a_new_deployment_restores": ("\tl->leaves = l->failed = 0;\n\tl->quarantines_left = false;\n\tconst struct", "\tconst struct"),
    # What only lacked disk space was not tried again.
    "what_lacks_space_is_given_up": ("if (event->failure == FAILURE_NO_SPACE && l->command", "if (false && l->command"),
}

source, output, fault = sys.argv[1:]
text = pathlib.Path(source).read_text(encoding="utf-8")
before, after = FAULTS[fault]
assert text.count(before) == 1, f"the place of {fault} is not in {source} once"
pathlib.Path(output).write_text(text.replace(before, after), encoding="utf-8")
