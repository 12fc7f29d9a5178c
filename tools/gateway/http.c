/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's life: on_uri makes it, on_request is called once when the
 * header is there, then for each piece of the body, then once more; on_end
 * logs and frees it.
 *
 * An error that is known before the body has come is answered after it: a
 * client that is still sending would otherwise see a reset connection and not
 * the answer.  Only one that waits for 100-continue is told at once.
 */
#include "http.h"
#include "ops.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "bad_body.h"
#include "fault.h"

#define MAX_CONNECTIONS 4096
#define IDLE_SECONDS 120
#define MAX_PARAMS 256
#define MAX_DRAIN (64ULL << 20) /* bytes of a refused body still read */

struct http {
	struct gateway *gw;
	struct MHD_Daemon *daemon; /* owned */
};

/* ---- who owns a request ---- */

/*
 * A request that libmicrohttpd refuses by itself (its header is too large,
 * say) never reaches on_request, and then on_end is not called either: until
 * it does, the connection owns it.
 */
struct connection {
	struct request *pending; /* owned */
};

static struct connection *connection_of(struct MHD_Connection *conn)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static void free_request(struct request *r)
{
	if (!r)
		return;
	body_free(r);
	reply_clear(r);
	strbuf_free(&r->out);
	uri_query_free(&r->query);
	for (size_t i = 0; i < r->nheaders; i++)
		free(r->headers[i].value);
	if (r->has_file)
		close(r->file);
	free(r->path);
	free(r->uri);
	free(r);
}

static void on_connection(void *cls, struct MHD_Connection *conn, void **ctx,
			  enum MHD_ConnectionNotificationCode code)
{
	struct connection *c = *ctx;

	(void)cls;
	(void)conn;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*ctx = calloc(1, sizeof(*c));
	} else if (c) {
		free_request(c->pending);
		free(c);
		*ctx = NULL;
	}
}

/* ---- parsing ---- */

/* Splits and decodes the request's target; false after an error answer. */
static bool parse_uri(struct request *r)
{
	const size_t n = strcspn(r->uri, "?");
	AUTO_FREE char *path = malloc(n + 1);
	const char *key;
	long len;
	int err;

	r->path = malloc(3 * n + 2);
	if (!path || !r->path) {
		reply_errno(r, -ENOMEM);
		return false;
	}
	r->path[0] = '\0';
	len = uri_decode(r->uri, n, false, path);
	if (len <= 0 || path[0] != '/' || strlen(path) != (size_t)len ||
	    uri_encode(path, (size_t)len, true, r->path, 3 * n + 2)) {
		reply_error(r, "InvalidURI",
			    "Couldn't parse the specified "
			    "URI.");
		return false;
	}
	err = uri_query_parse(r->uri[n] ? r->uri + n + 1 : "", MAX_PARAMS,
			      &r->query);
	if (err) {
		reply_error(r, "InvalidURI", "Couldn't parse the query.");
		return false;
	}
	key = strchr(path + 1, '/');
	if ((size_t)(key ? key - path - 1 : len - 1) >= sizeof(r->bucket)) {
		reply_error(r, "InvalidBucketName",
			    "The specified bucket is not valid.");
		return false;
	}
	snprintf(r->bucket, sizeof(r->bucket), "%.*s",
		 (int)(key ? key - path - 1 : len - 1), path + 1);
	r->has_key = key && key[1];
	if (r->has_key && strlen(key + 1) > 1024) {
		reply_errno(r, -ENAMETOOLONG);
		return false;
	}
	snprintf(r->key, sizeof(r->key), "%s", r->has_key ? key + 1 : "");
	return true;
}

static bool is_utf8(const char *s)
{
	json_t *o = json_string(s);

	json_decref(o);
	return o != NULL;
}

/* A second value of these is a smuggled request, not a longer list. */
static bool must_be_single(const char *name)
{
	static const char *const names[] = {
		"authorization", "content-length", "content-md5",
		"host",          "range",          "transfer-encoding"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], name))
			return true;
	return !strncmp(name, "x-amz-", 6) &&
	       strncmp(name, "x-amz-meta-", 11) != 0;
}

/* Adds to a header that is there already; false when it may not be. */
static bool join_header(struct request *r, size_t i, const char *value)
{
	char *joined;

	if (must_be_single(r->headers[i].name) ||
	    asprintf(&joined, "%s,%s", r->headers[i].value, value) < 0)
		return false;
	free(r->headers[i].value);
	r->headers[i].value = joined;
	return true;
}

static enum MHD_Result take_header(void *arg, enum MHD_ValueKind kind,
				   const char *name, const char *value)
{
	struct request *r = arg;
	size_t n = strlen(name);

	(void)kind;
	if (r->nheaders == MAX_HEADERS || n >= sizeof(r->headers[0].name)) {
		reply_error(r, "InvalidRequest",
			    "Too many or too long header "
			    "fields");
		return MHD_NO;
	}
	for (size_t i = 0; i <= n; i++)
		r->headers[r->nheaders].name[i] = name[i] >= 'A' &&
								  name[i] <= 'Z'
							  ? name[i] | 0x20
							  : name[i];
	for (size_t i = 0; i < r->nheaders; i++) {
		if (strcmp(r->headers[i].name, r->headers[r->nheaders].name) !=
		    0)
			continue;
		if (join_header(r, i, value ? value : ""))
			return MHD_YES;
		reply_error(r, "InvalidRequest", "%s is given twice",
			    r->headers[i].name);
		return MHD_NO;
	}
	r->headers[r->nheaders].value = strdup(value ? value : "");
	if (r->headers[r->nheaders].value)
		r->nheaders++;
	return MHD_YES;
}

/* Names and parameters end in XML: they must be text. */
static bool check_text(struct request *r)
{
	bool ok = is_utf8(r->key);

	for (size_t i = 0; i < r->query.n && ok; i++)
		ok = is_utf8(r->query.params[i].name) &&
		     is_utf8(r->query.params[i].value);
	if (!ok)
		reply_error(r, "InvalidURI", "The request is not UTF-8.");
	return ok;
}

/* All that can be decided before the body comes. */
static void begin(struct request *r)
{
	r->begun = true;
	MHD_get_connection_values(r->conn, MHD_HEADER_KIND, take_header, r);
	if (request_header(r, "transfer-encoding") &&
	    request_header(r, "content-length"))
		reply_error(r, "InvalidRequest",
			    "Content-Length beside Transfer-Encoding");
	if (r->failed) {
		/* Where the next request begins is not certain any more. */
		reply_header(r, "Connection", "close");
		return;
	}
	if (!parse_uri(r) || !auth_check(r) || !check_text(r))
		return;
	r->fault = fault_for(r->gw->faults, r);
	if (fault_before(r) || !route(r) ||
	    (r->op->body == BODY_OBJECT && rdma_refuse_put(r)))
		return;
	body_begin(r);
}

/* ---- answering ---- */

static struct MHD_Response *make_response(struct request *r)
{
	struct MHD_Response *res;

	if (!r->has_file) {
		r->answered = r->out.len;
		return MHD_create_response_from_buffer(
			r->out.len, (void *)(r->out.s ? r->out.s : ""),
			MHD_RESPMEM_MUST_COPY);
	}
	r->answered = r->file_len;
	if (bad_body_is_wanted(r))
		return bad_body_response(r);
	res = MHD_create_response_from_fd_at_offset64(r->file_len, r->file,
						      r->file_off);
	if (res)
		r->has_file = false; /* the response closes it */
	return res;
}

static enum MHD_Result answer(struct request *r)
{
	struct MHD_Response *res;
	enum MHD_Result ok;

	if (r->drop)
		return MHD_NO;
	if (r->out.failed)
		r->status = 500;
	res = make_response(r);
	if (!res)
		return MHD_NO;
	for (size_t i = 0; i < r->nreply; i++)
		/* MHD takes no empty value; a blank is trimmed away. */
		MHD_add_response_header(res, r->reply[i].name,
					r->reply[i].value[0] ? r->reply[i].value
							     : " ");
	MHD_add_response_header(res, "x-amz-request-id", r->id);
	MHD_add_response_header(res, "Server", "s3rdma-gateway");
	ok = MHD_queue_response(r->conn, (unsigned int)r->status, res);
	MHD_destroy_response(res);
	return ok;
}

static void run(struct request *r)
{
	r->body_done = true;
	if (r->failed || r->drop || !body_end(r))
		return;
	r->op->run(r);
	if (!r->status)
		reply_errno(r, -EIO);
}

static bool waits_for_continue(const struct request *r)
{
	const char *v = request_header(r, "expect");

	return v && !strcasecmp(v, "100-continue");
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn,
				  const char *url, const char *method,
				  const char *version, const char *data,
				  size_t *size, void **arg)
{
	struct request *r = *arg;

	(void)cls;
	(void)url;
	(void)version;
	if (!r)
		return MHD_NO;
	if (!r->begun) {
		connection_of(conn)->pending = NULL; /* on_end frees it now */
		r->conn = conn;
		r->method = method;
		begin(r);
		/* Without 100-continue the rest is read first, see above. */
		return r->failed && waits_for_continue(r) ? answer(r) : MHD_YES;
	}
	if (*size > 0) {
		r->body.received += r->failed ? *size : 0;
		if (r->failed && r->body.received > MAX_DRAIN)
			return MHD_NO;
		if (!r->failed)
			body_data(r, data, *size);
		*size = 0;
		return MHD_YES;
	}
	run(r);
	return answer(r);
}

/* ---- the life of a request ---- */

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *conn)
{
	struct http *h = cls;
	struct connection *c = connection_of(conn);
	struct request *r = c ? calloc(1, sizeof(*r)) : NULL;
	unsigned char id[8];

	if (!r)
		return NULL;
	free_request(c->pending);
	c->pending = NULL;
	r->gw = h->gw;
	r->uri = strdup(uri);
	if (!r->uri) {
		free(r);
		return NULL;
	}
	r->method = "";
	r->body.tmp.fd = -1;
	r->body.checksum = -1;
	strbuf_init(&r->out, 64U << 20);
	random_bytes(id, sizeof(id));
	format_hex(id, sizeof(id), r->id);
	c->pending = r;
	return r;
}

/* A field of the log in quotes: nothing in it can end the quotes or line. */
static void quoted(struct strbuf *b, const char *s)
{
	strbuf_puts(b, "\"");
	for (; s && *s; s++) {
		const unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			strbuf_printf(b, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			strbuf_printf(b, "\\x%02x", c);
		else
			strbuf_add(b, s, 1);
	}
	strbuf_puts(b, s ? "\"" : "-\"");
}

static void peer_name(struct MHD_Connection *conn, char *out, size_t cap)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	snprintf(out, cap, "-");
	if (info && info->client_addr)
		getnameinfo(info->client_addr,
			    info->client_addr->sa_family == AF_INET6
				    ? sizeof(struct sockaddr_in6)
				    : sizeof(struct sockaddr_in),
			    out, (socklen_t)cap, NULL, 0, NI_NUMERICHOST);
}

bool request_peer(const struct request *r, uint8_t out[16])
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		r->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *a = info ? info->client_addr : NULL;

	if (!a)
		return false;
	memset(out, 0, 16);
	if (a->sa_family == AF_INET6) {
		memcpy(out, &((const struct sockaddr_in6 *)a)->sin6_addr, 16);
		return true;
	}
	out[10] = out[11] = 0xff;
	memcpy(out + 12, &((const struct sockaddr_in *)a)->sin_addr, 4);
	return true;
}

/* host - - [date] "request" status bytes "referer" "agent" */
static void access_log(struct request *r)
{
	char host[64], date[40];
	const time_t now = time(NULL);
	struct strbuf b;
	struct tm tm;

	if (r->gw->log_fd < 0 || !r->conn)
		return;
	if (!strcmp(r->method, "HEAD"))
		r->answered = 0;
	peer_name(r->conn, host, sizeof(host));
	localtime_r(&now, &tm);
	strftime(date, sizeof(date), "%d/%b/%Y:%H:%M:%S %z", &tm);
	strbuf_init(&b, 64 << 10);
	strbuf_printf(&b, "%s - - [%s] ", host, date);
	{
		AUTO_FREE char *line = NULL;

		if (asprintf(&line, "%s %s HTTP/1.1", r->method, r->uri) < 0)
			line = NULL;
		quoted(&b, line);
	}
	/* 499, as nginx has it: the client left before the answer. */
	strbuf_printf(&b, " %d %llu ", r->status ? r->status : 499,
		      (unsigned long long)r->answered);
	quoted(&b, request_header(r, "referer"));
	strbuf_puts(&b, " ");
	quoted(&b, request_header(r, "user-agent"));
	strbuf_puts(&b, "\n");
	if (!b.failed && write(r->gw->log_fd, b.s, b.len) < 0)
		log_debug("gateway: access log: %m");
	strbuf_free(&b);
}

static void on_end(void *cls, struct MHD_Connection *conn, void **arg,
		   enum MHD_RequestTerminationCode code)
{
	struct request *r = *arg;

	struct connection *c = connection_of(conn);

	(void)cls;
	(void)code;
	if (!r)
		return;
	if (c && c->pending == r)
		c->pending = NULL;
	access_log(r);
	free_request(r);
	*arg = NULL;
}

/* libmicrohttpd's own words: about clients that broke off, mostly. */
static void on_message(void *cls, const char *fmt, va_list args)
{
	char text[400];

	(void)cls;
	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	log_debug("http: %s", text);
}

/* MHD would decode the path itself; ours is the target as it came. */
static size_t keep_escapes(void *cls, struct MHD_Connection *conn, char *s)
{
	(void)cls;
	(void)conn;
	return strlen(s);
}

static int resolve(const char *listen, struct addrinfo **out)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_PASSIVE | AI_NUMERICHOST |
						   AI_NUMERICSERV};
	const char *colon = strrchr(listen, ':');
	char host[128];
	size_t n;

	if (!colon || (size_t)(colon - listen) >= sizeof(host))
		return -EINVAL;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - listen), listen);
	n = strlen(host);
	if (host[0] == '[' && n > 1 && host[n - 1] == ']') {
		memmove(host, host + 1, n - 2);
		host[n - 2] = '\0';
	}
	return getaddrinfo(host, colon + 1, &hints, out) ? -EINVAL : 0;
}

int http_start(const struct http_config *cfg, struct gateway *gw,
	       struct http **out)
{
	unsigned int flags = MHD_USE_INTERNAL_POLLING_THREAD |
			     MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL |
			     MHD_USE_ERROR_LOG;
	struct http *h = calloc(1, sizeof(*h));
	struct addrinfo *addr = NULL;
	int err = h ? resolve(cfg->listen, &addr) : -ENOMEM;

	if (err) {
		free(h);
		return err;
	}
	h->gw = gw;
	if (addr->ai_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	if (cfg->tls_cert)
		flags |= MHD_USE_TLS;
	errno = 0;
	h->daemon = MHD_start_daemon(
		flags, 0, NULL, NULL, on_request, h, MHD_OPTION_SOCK_ADDR,
		addr->ai_addr, MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL,
		MHD_OPTION_URI_LOG_CALLBACK, on_uri, h,
		MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, on_end, h,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
		MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
		MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(256 << 10),
		MHD_OPTION_THREAD_STACK_SIZE, (size_t)(1 << 20),
		cfg->tls_cert ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END,
		cfg->tls_cert, MHD_OPTION_HTTPS_MEM_KEY, cfg->tls_key,
		MHD_OPTION_END);
	freeaddrinfo(addr);
	if (!h->daemon) {
		err = errno ? -errno : -EIO;
		free(h);
		return err;
	}
	*out = h;
	return 0;
}

void http_stop(struct http *h)
{
	if (!h)
		return;
	MHD_stop_daemon(h->daemon);
	free(h);
}
