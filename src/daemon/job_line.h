// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Reads a line of the worker's stdout (docs/formats.md). Pure.

#include "base/error.h"
#include "base/str.h"
#include "daemon/job.h"
#include "sys/json.h"

#include <stdbool.h>

enum job_line_kind {
	JOB_LINE_HARDENED,
	JOB_LINE_STAGE,
	JOB_LINE_IMAGE,
	JOB_LINE_COMPOSE,
	JOB_LINE_COPY,
	JOB_LINE_PLAN,
	JOB_LINE_SHIPPED,
	JOB_LINE_IDLE,
	JOB_LINE_ALIVE,
	JOB_LINE_RESULT,
};

struct job_line {
	enum job_line_kind kind;
	bool begins, ends;  ///< STAGE: its state is "begin"; "end" or "fail".
	const char *stage;  ///< STAGE.
	const char *first;  ///< IMAGE: reference; COMPOSE: stamp; COPY: SHA-256.
	const char *second; ///< IMAGE: digest; COMPOSE, COPY: version.
	uint64_t shipped;   ///< SHIPPED: bytes.
	uint64_t rejected;  ///< SHIPPED: lines.
};

/// Texts are borrowed from `*ret_line`, which is the caller's. LM_E_PROTOCOL: it is none of them.
lm_rc job_line_parse(struct lm_str text, json_t **ret_line, struct job_line *ret);
/// What a RESULT line says; borrowed from it.
struct job_result job_line_result(const json_t *line);
