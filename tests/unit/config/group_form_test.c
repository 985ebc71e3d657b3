// SPDX-License-Identifier: Apache-2.0
#include "config/group_form.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define CONNECTOR_ARN(kind)                                                                        \
	"arn:aws:greengrass:eu-west-1:123456789012:/greengrass/definition/connectors/aaaa" kind

static void expect(char *rule, const char *begin)
{
	lm_auto_free char *found = rule;

	if (!found || strncmp(found, begin, strlen(begin)) != 0)
		fail_msg("'%s' does not begin with '%s'", found ? found : "(none)", begin);
}

static void names_bytes_that_are_no_text(void **state)
{
	static const struct {
		struct lm_str bytes;
		const char *begin;
	} cases[] = {
		{{"", 0}, "is empty: "},
		{{" \n\t\r\n", 5}, "is blank, "},
		{{"\xff\xfe{\0", 4}, "is in UTF-16: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"},
		{{"\xfe\xff\0{", 4}, "is in UTF-16: "},
		{{"{\0\"\0C\0o\0", 8}, "is in UTF-16LE: save it as UTF-8 (iconv -f UTF-16LE "},
		{{"\0{\0\"\0C\0o", 8}, "is in UTF-16BE: save it as UTF-8 (iconv -f UTF-16BE "},
		{{"{\0\r\0\n\0 \0\"\0", 10}, "is in UTF-16LE: "},
		{{"\xff\xfe\0\0{\0\0\0", 8}, "is in UTF-32: "},
		{{"{\0\0\0\"\0\0\0", 8}, "is in UTF-32LE: "},
		{{"\0\0\0{\0\0\0\"", 8}, "is in UTF-32BE: "},
		{{"\x1f\x8b\x08\0", 4}, "is compressed with gzip: unpack it (gunzip)"},
		{{"\x28\xb5\x2f\xfd\0", 5}, "is compressed with zstd: "},
		{{"PK\x03\x04\0", 5}, "is a ZIP archive: "},
		{{"\x7f"
		  "ELF\2\1\1\0\0\0",
			 10},
			"is binary data (byte 8 is 0)"},
		{{"{\"a\": 1}\0", 9}, "is binary data (byte 9 is 0)"},
		{{"\0", 1}, "is binary data (byte 1 is 0)"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++)
		expect(group_form_explain_bytes(cases[i].bytes), cases[i].begin);
	assert_null(group_form_explain_bytes(LM_STR("{}")));
	assert_null(group_form_explain_bytes(LM_STR("{\"\xc3\xbc\": \"\xff\"}")));
}

static void names_text_that_is_no_json(void **state)
{
	static const struct {
		const char *text, *begin;
	} cases[] = {
		{"version: '3'\nservices:\n  web:\n    image: x\n",
			"is a compose file: deploy it "},
		{"# ours\r\n---\r\n\"services\":\r\n  web: {}\r\n", "is a compose file: "},
		{"  name: x\n  services:\n    web: {}\n", "is a compose file: "},
		{"x: 1\nConnectors:\n- Id: a\n", "is YAML: convert it to JSON"},
		{"Definition:\n  Connectors:\n  - Id: a\n", "is YAML: "},
		{"- Id: a\n  ConnectorArn: b\n", "is YAML: "},
		{"web:\n  image: x\n", "is a compose file: "},
		{"x: 1\ndb:\n    ports: []\n    build: .\n", "is a compose file: "},
		{"name: x\ninclude: [a.yml]\n", "is a compose file: "},
		{"replicas: 1\nimage:\n  repository: x\n", "is YAML: "},
		{"Resources:\n  X:\n    Type: AWS::Greengrass::Group\n",
			"is a CloudFormation template: "},
		{"Transform: AWS::Serverless-2016-10-31\n", "is a CloudFormation template: "},
		{"web:\n  services: x\n", "is YAML: "},
		{"---\nRecipeFormatVersion: '2020-01-25'\nComponentName: x\n",
			"is a component recipe of AWS IoT Greengrass V2: "},
		{"recipeformatversion: '2020-01-25'\n", "is a component recipe of "},
		{"AWSTemplateFormatVersion: '2010-09-09'\nResources:\n  services: x\n",
			"is a CloudFormation template: copy the Connectors array "},
		{"apiVersion: apps/v1\nkind: Deployment\n", "is a Kubernetes manifest: "},
		{"# x\nresource \"aws_iot_thing\" \"a\" {\n  name = \"b\"\n}\n",
			"is a Terraform file: "},
		{"terraform {\n}\n", "is a Terraform file: "},
		{"<!DOCTYPE html>\n<html>", "is HTML or XML, perhaps a page that a proxy "},
		{"-----BEGIN CERTIFICATE-----\nMII", "is a certificate or a key: "},
		{"#!/bin/sh\naws greengrass\n", "is a script: "},
		{"----------\n|  GetConnector  |\n", "is a table of the AWS CLI: "},
		{"\nAn error occurred (AccessDenied) when calling", "is an error message of the "},
		{"arn\nDEFINITION\t1\n", NULL},
		{"CONNECTORS\tarn:aws:x\tdocker\n", "is the text output of the AWS CLI: "},
		{"{'Connectors': [{'Id': 'a'}]}", "has its texts in single quotes, "},
		{"{\"Connectors\": [", NULL},
		{"{services: {}}", NULL},
		{"hello", NULL},
		{"# only a comment", NULL},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		char *rule = group_form_explain_text(lm_str(cases[i].text));
		if (cases[i].begin)
			expect(rule, cases[i].begin);
		else
			assert_null(rule);
	}
}

static char *explain(const char *text)
{
	lm_auto_json json_t *document = NULL;
	struct lm_err err = {0};

	assert_int_equal(json_parse(lm_str(text), &document, &err), LM_OK);
	return group_form_explain_document(document);
}

static void names_documents_of_other_forms(void **state)
{
	static const struct {
		const char *text, *begin;
	} cases[] = {
		{"{\"services\": {\"web\": {}}}", "is a compose file: "},
		{"{\"RecipeFormatVersion\": \"2020-01-25\"}", "is a component recipe of "},
		{"{\"targetArn\": \"arn:x\", \"components\": {}}", "is a deployment of AWS IoT "},
		{"{\"Resources\": {\"A\": {\"Type\": \"AWS::Greengrass::Group\"}}}",
			"is a CloudFormation template: "},
		{"{\"AWSTemplateFormatVersion\": \"x\"}", "is a CloudFormation template: "},
		{"{\"Type\": \"AWS::Greengrass::ConnectorDefinition\", \"Properties\": {}}",
			"is a CloudFormation template: "},
		{"{\"Arn\": \"a\", \"Definition\": {\"Functions\": []}}",
			"has the functions of a group, and no connector: "},
		{"{\"Functions\": [{}]}", "has the functions of a group, "},
		{"{\"Resources\": []}", "has the resources of a group, "},
		{"{\"InitialVersion\": {\"Cores\": []}}", "has the cores of a group, "},
		{"{\"resource\": {}}", "is a Terraform file: "},
		{"{\"apiVersion\": \"v1\", \"kind\": \"Pod\"}", "is a Kubernetes manifest: "},
		{"{\"mqtt\": {}}", "is a host file: "},
		{"{\"coreThing\": {}}", "is the config.json of a Greengrass core: "},
		{"{\"GroupDefinitions\": {}, \"Cores\": []}",
			"is the group.json of a Greengrass core, "},
		{"{\"Id\": \"a\", \"ConnectorArn\": \"b\"}", "is a connector by itself: "},
		{"[{\"Id\": \"a\", \"Source\": \"b\", \"Subject\": \"#\"}]",
			"is an array of subscriptions: "},
		{"[{\"Id\": \"a\", \"ThingArn\": \"b\"}]", "is an array of cores or devices: "},
		{"[{\"Definition\": {}}]", "is an array around a connector definition: "},
		{"[1]", "is an array whose first item is a number, "},
		{"[[]]", "is an array whose first item is an array, "},
		{"[{}]", "is an array whose first item is an object without ConnectorArn, "},
		{"\"{\\\"Connectors\\\": []}\"", "is JSON inside of a JSON text: "},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++)
		expect(explain(cases[i].text), cases[i].begin);
}

static void fills_in_the_command_that_prints_the_definition(void **state)
{
	static const char command[] =
		"aws greengrass get-connector-definition-version --connector-definition-id aaaa "
		"--connector-definition-version-id bbbb --region eu-west-1";
	static const struct {
		const char *text, *begin;
	} cases[] = {
		{"{\"Arn\": \"x\", \"Definition\": {\"CoreDefinitionVersionArn\": \"y\","
		 "\"ConnectorDefinitionVersionArn\": \"" CONNECTOR_ARN("/versions/bbbb") "\"}}",
			"is a group version, which has only the ARNs of its definitions: "},
		{"{\"ConnectorDefinitionVersionArn\": \"" CONNECTOR_ARN("/versions/bbbb") "\"}",
			"is a group version, "},
		{"{\"InitialVersion\": {\"ConnectorDefinitionVersionArn\": \"" CONNECTOR_ARN(
			 "/versions/bbbb") "\"}}",
			"is a group version, "},
		{"{\"initialVersion\": {\"connectorDefinitionVersionArn\": \"" CONNECTOR_ARN(
			 "/versions/bbbb") "\"}}",
			"is a group version, "},
		{"{\"Arn\": \"" CONNECTOR_ARN("") "\", \"LatestVersionArn\": \"" CONNECTOR_ARN(
			 "/versions/bbbb") "\"}",
			"names a connector definition, and does not have it: "},
		{"{\"Definitions\": [{\"LatestVersionArn\": \"" CONNECTOR_ARN(
			 "/versions/bbbb") "\"}]}",
			"names a connector definition, "},
		{"{\"Versions\": [{\"Arn\": \"" CONNECTOR_ARN("/versions/bbbb") "\"}]}",
			"names a connector definition, "},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto_free char *rule = explain(cases[i].text);
		expect(lm_xstrdup(rule), cases[i].begin);
		assert_non_null(strstr(rule, command));
	}
}

static void fills_in_nothing_that_a_shell_would_run(void **state)
{
	lm_auto_free char *rule = explain(
		"{\"Definition\": {\"ConnectorDefinitionVersionArn\": \"arn:aws:greengrass:r:1:"
		"/greengrass/definition/connectors/$(reboot)/versions/b\"}}");
	lm_auto_free char *without =
		explain("{\"Definition\": {\"CoreDefinitionVersionArn\": \"x\"}}");

	(void)state;
	assert_non_null(strstr(rule, "--connector-definition-id ID "));
	assert_null(strstr(rule, "reboot"));
	expect(lm_xstrdup(without), "is a group version without connectors ");
}

static void lists_keys_in_another_spelling(void **state)
{
	static const char begin[] = "has keys in another spelling; the keys of a group file begin "
				    "with capitals: ";
	static const struct {
		const char *text, *list;
	} cases[] = {
		{"{\"name\": \"x\", \"initialVersion\": {\"connectors\": [{\"id\": \"1\", "
		 "\"connectorArn\": \"y\", \"parameters\": {\"id\": \"z\"}}]}}",
			"initialVersion is InitialVersion, connectors is Connectors, id is Id, "
			"connectorArn is ConnectorArn, parameters is Parameters"},
		{"{\"initial_version\": {\"connectors\": []}}",
			"initial_version is InitialVersion, connectors is Connectors"},
		{"{\"CONNECTORS\": []}", "CONNECTORS is Connectors"},
		{"[{\"id\": \"a\", \"connector_arn\": \"b\"}]",
			"id is Id, connector_arn is ConnectorArn"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto_free char *rule = explain(cases[i].text);
		lm_auto_free char *expected = lm_xasprintf("%s%s", begin, cases[i].list);
		assert_string_equal(rule, expected);
	}
}

static void leaves_group_files_to_the_parser(void **state)
{
	static const char *const texts[] = {
		"{}",
		"null",
		"7",
		"{\"Connectors\": []}",
		"{\"Definition\": {\"Connectors\": []}, \"Arn\": \"a:greengrass:b\"}",
		"{\"Connectors\": [{\"id\": \"a\"}]}",
		"{\"Connectors\": [], \"services\": {}, \"mqtt\": {}}",
		"{\"Subscriptions\": []}",
		"{\"Definition\": {\"Subscriptions\": [], \"Loggers\": []}}",
		"{\"Connectors\": [], \"Functions\": []}",
		"[]",
		"[{\"Id\": \"a\", \"ConnectorArn\": \"b\"}]",
		"{\"Definition\": 3}",
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(texts); i++)
		assert_null(explain(texts[i]));
}

static void skips_the_byte_order_mark_of_utf8_only(void **state)
{
	struct lm_str rest = group_form_skip_mark(LM_STR("\xef\xbb\xbf{}"));

	(void)state;
	assert_true(lm_str_eq(rest, LM_STR("{}")));
	assert_true(lm_str_eq(group_form_skip_mark(LM_STR("{}")), LM_STR("{}")));
	assert_int_equal(group_form_skip_mark(LM_STR("\xef\xbb\xbf")).n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_bytes_that_are_no_text),
		cmocka_unit_test(names_text_that_is_no_json),
		cmocka_unit_test(names_documents_of_other_forms),
		cmocka_unit_test(fills_in_the_command_that_prints_the_definition),
		cmocka_unit_test(fills_in_nothing_that_a_shell_would_run),
		cmocka_unit_test(lists_keys_in_another_spelling),
		cmocka_unit_test(leaves_group_files_to_the_parser),
		cmocka_unit_test(skips_the_byte_order_mark_of_utf8_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
