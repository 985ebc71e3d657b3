# SPDX-License-Identifier: Apache-2.0
"""plant.py SOURCE OUTPUT FAULT: src/deploy/lifecycle.c with one of the faults that it once replaced."""
import pathlib
import sys

FAULTS = {
    # Told to end while a stop was to be carried out, lightermand left the application running.
    "an_end_forgets_a_stop": ("(l->exit_takes_down || l->wanted.state == WANTED_DOWN)", "l->exit_takes_down"),
    # A deployment after a stop that failed at once left the application wanted up.
    "a_refused_deployment_undoes_a_stop": ("if (l->touched || target.state == WANTED_NOTHING)", "if (true)"),
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
}

source, output, fault = sys.argv[1:]
text = pathlib.Path(source).read_text(encoding="utf-8")
before, after = FAULTS[fault]
assert text.count(before) == 1, f"the place of {fault} is not in {source} once"
pathlib.Path(output).write_text(text.replace(before, after), encoding="utf-8")
