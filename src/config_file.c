/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The YAML file, by libcyaml: the schema is made from the table, every value
 * a text, so that the table alone says what a value may be.  libcyaml reports
 * what does not fit the schema, with its line; for a value that the table
 * refuses, the line is found with libyaml's parser below.
 */
#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "config_int.h"

#define MAX_SECTIONS 16
#define MAX_KEYS 16

/* An item that is a mapping: its values in the order of the table below. */
struct raw_map {
	char *values[3];
};

/* What libcyaml fills for one setting. */
struct raw {
	char *text;
	char **list;
	struct raw_map *maps;
	unsigned int list_count;
};

/* Items of the two kinds of mappings, with what stands for them in a list on
 * the command line: their values with colons between. */
static const struct map_key {
	const char *key;
	bool needed;
} gpu_keys[] = {{"device", true}, {"size", true}},
  rule_keys[] = {{"prefix", true}, {"ttl", false}, {"trusted", false}};

struct raw_section {
	struct raw keys[MAX_KEYS];
};

struct raw_file {
	struct raw_section *sections[MAX_SECTIONS];
};

struct schema {
	cyaml_schema_value_t top, item, gpu, rule;
	cyaml_schema_field_t gpu_fields[3], rule_fields[4];
	cyaml_schema_field_t sections[MAX_SECTIONS + 1];
	cyaml_schema_field_t keys[MAX_SECTIONS][MAX_KEYS + 1];
	const struct config_row *rows[MAX_SECTIONS][MAX_KEYS];
	unsigned int nsections, nkeys[MAX_SECTIONS];
};

static void add_key(struct schema *s, unsigned int sec,
		    const struct config_row *row)
{
	const unsigned int k = s->nkeys[sec]++;
	cyaml_schema_field_t *f = &s->keys[sec][k];
	const uint32_t base = (uint32_t)(k * sizeof(struct raw));

	s->rows[sec][k] = row;
	f->key = row->key;
	f->value.flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL;
	if (config_is_list(row)) {
		const bool maps = row->type != CONFIG_LISTED;

		f->value.type = CYAML_SEQUENCE;
		f->value.data_size = maps ? sizeof(struct raw_map)
					  : sizeof(char *);
		f->value.sequence.entry = row->type == CONFIG_GPUS ? &s->gpu
					  : maps                   ? &s->rule
								   : &s->item;
		f->value.sequence.max = CONFIG_LIST;
		f->data_offset = base +
				 (uint32_t)(maps ? offsetof(struct raw, maps)
						 : offsetof(struct raw, list));
		f->count_offset = base +
				  (uint32_t)offsetof(struct raw, list_count);
		f->count_size = sizeof(unsigned int);
	} else {
		f->value.type = CYAML_STRING;
		f->value.data_size = sizeof(char);
		f->value.string.max = 4096;
		f->data_offset = base + (uint32_t)offsetof(struct raw, text);
	}
}

static unsigned int section_of(struct schema *s, const char *name)
{
	cyaml_schema_field_t *f;
	unsigned int i;

	for (i = 0; i < s->nsections; i++)
		if (!strcmp(s->sections[i].key, name))
			return i;
	f = &s->sections[i];
	f->key = name;
	f->value.type = CYAML_MAPPING;
	f->value.flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL;
	f->value.data_size = sizeof(struct raw_section);
	f->value.mapping.fields = s->keys[i];
	f->data_offset = (uint32_t)(i * sizeof(struct raw_section *));
	s->nsections++;
	return i;
}

static void make_map_schema(const struct map_key *keys, size_t n,
			    cyaml_schema_field_t *fields,
			    cyaml_schema_value_t *value)
{
	for (size_t i = 0; i < n; i++) {
		cyaml_schema_field_t *f = &fields[i];

		f->key = keys[i].key;
		f->value.type = CYAML_STRING;
		f->value.flags = CYAML_FLAG_POINTER;
		if (!keys[i].needed)
			f->value.flags |= CYAML_FLAG_OPTIONAL;
		f->value.data_size = sizeof(char);
		f->value.string.max = 1100;
		f->data_offset = (uint32_t)(offsetof(struct raw_map, values) +
					    i * sizeof(char *));
	}
	value->type = CYAML_MAPPING;
	value->flags = CYAML_FLAG_DEFAULT;
	value->data_size = sizeof(struct raw_map);
	value->mapping.fields = fields;
}

static void make_schema(struct schema *s)
{
	*s = (struct schema){0};
	make_map_schema(gpu_keys, ARRAY_SIZE(gpu_keys), s->gpu_fields, &s->gpu);
	make_map_schema(rule_keys, ARRAY_SIZE(rule_keys), s->rule_fields,
			&s->rule);
	s->item.type = CYAML_STRING;
	s->item.flags = CYAML_FLAG_POINTER;
	s->item.data_size = sizeof(char);
	s->item.string.max = 4096;
	s->top.type = CYAML_MAPPING;
	s->top.flags = CYAML_FLAG_POINTER;
	s->top.data_size = sizeof(struct raw_file);
	s->top.mapping.fields = s->sections;
	for (size_t i = 0; i < config_rows; i++)
		add_key(s, section_of(s, config_table[i].section),
			&config_table[i]);
}

/* libcyaml's messages: the first names the fault, later ones the place. */
struct complaint {
	char text[256];
	unsigned int line;
};

static void on_log(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct complaint *c = ctx;
	char text[256], *p;

	if (level < CYAML_LOG_ERROR)
		return;
	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	p = strstr(text, "line: ");
	if (p && !c->line)
		c->line = (unsigned int)strtoul(p + 6, NULL, 10);
	if (c->text[0] || strstr(text, "Backtrace"))
		return;
	p = strstr(text, "Load: ");
	snprintf(c->text, sizeof(c->text), "%s", p ? p + 6 : text);
}

/*
 * A second walk over the file, for messages: libcyaml's name the line of the
 * mapping around a fault, people want that of the fault.
 */
struct walk {
	const char *file;
	const struct config_row *wanted; /* find its line, or NULL: a fault */
	unsigned int depth, line;
	bool is_value, done;
	char section[64], key[64];
	char fault[400];
};

static bool is_section(const char *name)
{
	for (size_t i = 0; i < config_rows; i++)
		if (!strcmp(config_table[i].section, name))
			return true;
	return false;
}

static void list_sections(char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < config_rows && n < cap; i++)
		if (!i || strcmp(config_table[i].section,
				 config_table[i - 1].section) != 0)
			n += (size_t)snprintf(out + n, cap - n, "%s%s",
					      n ? ", " : "",
					      config_table[i].section);
}

static void list_keys(const char *section, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < config_rows && n < cap; i++)
		if (!strcmp(config_table[i].section, section))
			n += (size_t)snprintf(out + n, cap - n, "%s%s",
					      n ? ", " : "",
					      config_table[i].key);
}

static void found(struct walk *w, const yaml_mark_t *at)
{
	w->line = (unsigned int)at->line + 1;
	w->done = true;
}

/* A name: of a section at depth 1, of a key at depth 2. */
static void walk_name(struct walk *w, const char *text, const yaml_mark_t *at)
{
	char known[256];

	if (w->depth == 1) {
		snprintf(w->section, sizeof(w->section), "%s", text);
		w->key[0] = '\0';
		if (w->wanted || is_section(text))
			return;
		list_sections(known, sizeof(known));
		snprintf(w->fault, sizeof(w->fault),
			 "unknown section \"%s\": expected one of %s", text,
			 known);
		found(w, at);
	} else if (w->depth == 2) {
		const struct config_row *row = config_find(
			w->section, strlen(w->section), text);

		snprintf(w->key, sizeof(w->key), "%s", text);
		if (w->wanted && row == w->wanted)
			found(w, at);
		if (w->wanted || row)
			return;
		list_keys(w->section, known, sizeof(known));
		snprintf(w->fault, sizeof(w->fault),
			 "unknown key \"%s.%s\": expected one of %s",
			 w->section, text, known);
		found(w, at);
	}
}

/* A value that is no text (or, at the top, no mapping) where one is due. */
static void walk_value(struct walk *w, const yaml_event_t *e)
{
	const struct config_row *row = config_find(w->section,
						   strlen(w->section), w->key);
	char expected[128];

	if (w->wanted || w->done)
		return;
	if (w->depth == 1 && e->type != YAML_MAPPING_START_EVENT) {
		snprintf(w->fault, sizeof(w->fault),
			 "section \"%s\": expected its keys and values",
			 w->section);
		found(w, &e->start_mark);
	} else if (w->depth == 2 && row &&
		   config_is_list(row) !=
			   (e->type == YAML_SEQUENCE_START_EVENT)) {
		snprintf(w->fault, sizeof(w->fault), "%s.%s: expected %s",
			 w->section, w->key,
			 config_expected(row, expected, sizeof(expected)));
		found(w, &e->start_mark);
	}
}

static void walk_event(struct walk *w, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_MAPPING_START_EVENT:
	case YAML_SEQUENCE_START_EVENT:
		if (w->is_value)
			walk_value(w, e);
		w->depth++;
		w->is_value = false;
		break;
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		w->depth--;
		w->is_value = false;
		break;
	case YAML_SCALAR_EVENT:
		if (w->is_value)
			walk_value(w, e);
		else
			walk_name(w, (const char *)e->data.scalar.value,
				  &e->start_mark);
		if (w->depth <= 2)
			w->is_value = !w->is_value;
		break;
	case YAML_STREAM_END_EVENT:
		w->done = true;
		break;
	default:
		break;
	}
}

static void walk_file(struct walk *w)
{
	FILE *in = fopen(w->file, "re");
	yaml_parser_t parser;
	yaml_event_t event;

	if (!in || !yaml_parser_initialize(&parser)) {
		if (in)
			fclose(in);
		return;
	}
	yaml_parser_set_input_file(&parser, in);
	while (!w->done) {
		if (!yaml_parser_parse(&parser, &event)) {
			snprintf(w->fault, sizeof(w->fault),
				 "malformed YAML: %s: expected \"key: value\" "
				 "lines",
				 parser.problem ? parser.problem
						: "unreadable");
			found(w, &parser.problem_mark);
			break;
		}
		walk_event(w, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	fclose(in);
}

static unsigned int find_line(const char *file, const struct config_row *row)
{
	struct walk w = {.file = file, .wanted = row};

	walk_file(&w);
	return w.line;
}

/* As one text, as on a command line. */
static int take_gpus(struct config *c, const struct config_row *row,
		     const struct raw *raw)
{
	char text[CONFIG_LIST * 136] = "";
	size_t n = 0;

	for (unsigned int i = 0; i < raw->list_count && n < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s:%s",
				      i ? ";" : "", raw->maps[i].values[0],
				      raw->maps[i].values[1]);
	return config_set(c, row, text, "file");
}

/* One by one: a prefix may hold what separates items on a command line. */
static int take_rules(struct config *c, const struct config_row *row,
		      const struct raw *raw)
{
	struct config_list *l = (void *)((char *)c + row->offset);
	bool trusted = false;
	int err = 0;

	config_list_clear(l);
	for (unsigned int i = 0; i < raw->list_count && !err; i++) {
		char *const *v = raw->maps[i].values;
		char text[1300];

		if (v[2] && parse_bool(v[2], &trusted))
			return -EINVAL;
		snprintf(text, sizeof(text), "%s:%s%s", v[0], v[1] ? v[1] : "",
			 v[2] && trusted ? ":trusted" : "");
		err = config_list_add(l, text);
	}
	c->origin[row - config_table] = "file";
	return err ? err : config_check_rules(l);
}

static int take(struct config *c, const struct config_row *row,
		const struct raw *raw)
{
	int err = 0;

	if (row->type == CONFIG_LISTED && raw->list) {
		struct config_list *l = (void *)((char *)c + row->offset);

		config_list_clear(l);
		for (unsigned int i = 0; i < raw->list_count && !err; i++)
			err = config_list_add(l, raw->list[i]);
		c->origin[row - config_table] = "file";
	} else if (row->type == CONFIG_GPUS && raw->maps) {
		err = take_gpus(c, row, raw);
	} else if (row->type == CONFIG_RULES && raw->maps) {
		err = take_rules(c, row, raw);
	} else if (raw->text) {
		err = config_set(c, row, raw->text, "file");
	}
	return err;
}

static int take_all(struct config *c, const struct schema *s,
		    const struct raw_file *f, const char *file, char *why,
		    size_t cap)
{
	char expected[128];

	for (unsigned int i = 0; i < s->nsections; i++) {
		for (unsigned int k = 0; f->sections[i] && k < s->nkeys[i];
		     k++) {
			const struct config_row *row = s->rows[i][k];
			const struct raw *raw = &f->sections[i]->keys[k];

			if (!take(c, row, raw))
				continue;
			snprintf(why, cap, "%s:%u: %s.%s: \"%s\" is not %s",
				 file, find_line(file, row), row->section,
				 row->key,
				 raw->text   ? raw->text
				 : raw->maps ? "what is there"
					     : "",
				 config_expected(row, expected,
						 sizeof(expected)));
			return -EINVAL;
		}
	}
	return 0;
}

/* What is wrong with the file: our words, or else libcyaml's. */
static void explain(const struct complaint *c, const char *file,
		    cyaml_err_t err, char *why, size_t cap)
{
	struct walk w = {.file = file};

	walk_file(&w);
	if (w.fault[0])
		snprintf(why, cap, "%s:%u: %s", file, w.line, w.fault);
	else
		snprintf(why, cap, "%s:%u: %s; s3rdmafs.yaml(5) lists the keys",
			 file, c->line,
			 c->text[0] ? c->text : cyaml_strerror(err));
}

int config_load_file(struct config *c, const char *file, char *why, size_t cap)
{
	struct complaint complaint = {.line = 0};
	const cyaml_config_t cy = {.log_fn = on_log,
				   .log_ctx = &complaint,
				   .mem_fn = cyaml_mem,
				   .log_level = CYAML_LOG_ERROR};
	struct raw_file *raw = NULL;
	struct schema *s = malloc(sizeof(*s));
	cyaml_err_t cerr;
	int err;

	if (!s)
		return -ENOMEM;
	make_schema(s);
	cerr = cyaml_load_file(file, &cy, &s->top, (cyaml_data_t **)&raw, NULL);
	if (cerr == CYAML_ERR_FILE_OPEN) {
		snprintf(why, cap, "cannot read %s: %s", file, strerror(errno));
		err = -ENOENT;
	} else if (cerr != CYAML_OK) {
		explain(&complaint, file, cerr, why, cap);
		err = -EINVAL;
	} else if (!raw) {
		err = 0; /* nothing in it but comments */
	} else {
		err = take_all(c, s, raw, file, why, cap);
		cyaml_free(&cy, &s->top, raw, 0);
	}
	free(s);
	return err;
}
