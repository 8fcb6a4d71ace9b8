#include "common/toml.h"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include <jansson.h>

/* Some damaged files bring toml++'s parser to where it thinks it cannot be: one more error in the
 * file, and not the end of the program. */
[[noreturn]] static void damaged()
{
    throw std::runtime_error("is damaged in a way for which the parser has no words");
}
#define TOML_ASSERT(expr) (static_cast<bool>(expr) ? static_cast<void>(0) : damaged())
#include <toml++/toml.h>

namespace
{
struct unref {
    void operator()(json_t *json) const
    {
        json_decref(json);
    }
};
using json_ptr = std::unique_ptr<json_t, unref>;
} // namespace

struct toml_doc {
    toml::table table;
    json_ptr json;
};

namespace
{
constexpr size_t max_file_bytes = 1 << 20;

std::string read_file(const char *path)
{
    std::unique_ptr<FILE, int (*)(FILE *)> file(std::fopen(path, "rbe"), std::fclose);
    if (!file) {
        throw std::runtime_error(std::strerror(errno));
    }
    std::string text;
    char chunk[4096];
    size_t n;
    while ((n = std::fread(chunk, 1, sizeof chunk, file.get())) > 0) {
        text.append(chunk, n);
        if (text.size() > max_file_bytes) {
            throw std::runtime_error("is larger than 1 MiB");
        }
    }
    if (std::ferror(file.get())) {
        throw std::runtime_error(std::strerror(errno));
    }
    return text;
}

/* jansson gives NULL for what it cannot hold or has no memory for. */
json_ptr checked(json_t *json)
{
    if (!json) {
        throw std::runtime_error("holds a value that cannot be taken over");
    }
    return json_ptr(json);
}

json_ptr json_text(std::string_view text)
{
    return checked(json_stringn(text.data(), text.size()));
}

json_ptr to_json(const toml::node &node);

json_ptr table_to_json(const toml::table &table)
{
    json_ptr object = checked(json_object());
    for (auto &&[key, value] : table) {
        std::string_view name = key.str();
        if (name.find('\0') != std::string_view::npos) {
            throw std::runtime_error("has a key with a NUL character");
        }
        json_ptr member = to_json(value);
        if (json_object_set_new(object.get(), std::string(name).c_str(), member.release()) != 0) {
            throw std::bad_alloc();
        }
    }
    return object;
}

json_ptr array_to_json(const toml::array &array)
{
    json_ptr list = checked(json_array());
    for (const toml::node &value : array) {
        if (json_array_append_new(list.get(), to_json(value).release()) != 0) {
            throw std::bad_alloc();
        }
    }
    return list;
}

json_ptr to_json(const toml::node &node)
{
    if (auto *table = node.as_table()) {
        return table_to_json(*table);
    }
    if (auto *array = node.as_array()) {
        return array_to_json(*array);
    }
    if (auto *text = node.as_string()) {
        return json_text(text->get());
    }
    if (auto *integer = node.as_integer()) {
        return checked(json_integer(integer->get()));
    }
    if (auto *boolean = node.as_boolean()) {
        return checked(json_boolean(boolean->get()));
    }
    if (auto *real = node.as_floating_point(); real && std::isfinite(real->get())) {
        return checked(json_real(real->get()));
    }
    std::ostringstream text;
    node.visit([&](auto &&value) { text << value; });
    return json_text(text.str());
}

/* A node and the key that leads to it: null where that is an index. */
struct place {
    const toml::node *node;
    const toml::key *key;
};

place find(place from, std::string_view path);

place find_in_table(const toml::table &table, std::string_view path)
{
    /* Keys are compared as a whole, because one in quotes may hold dots itself. */
    for (auto &&[key, value] : table) {
        std::string_view name = key.str();
        if (path.substr(0, name.size()) != name) {
            continue;
        }
        std::string_view rest = path.substr(name.size());
        if (rest.empty() || rest[0] == '[' || rest[0] == '.') {
            rest.remove_prefix(!rest.empty() && rest[0] == '.');
            place found = find({&value, &key}, rest);
            if (found.node) {
                return found;
            }
        }
    }
    return {};
}

place find(place from, std::string_view path)
{
    if (path.empty()) {
        return from;
    }
    if (auto *table = from.node->as_table()) {
        return find_in_table(*table, path);
    }
    auto *array = from.node->as_array();
    if (!array || path[0] != '[') {
        return {};
    }
    size_t index = 0;
    const char *end = path.data() + path.size();
    auto [next, failed] = std::from_chars(path.data() + 1, end, index);
    if (failed != std::errc() || next == end || *next != ']' || index >= array->size()) {
        return {};
    }
    path.remove_prefix(static_cast<size_t>(next - path.data()) + 1);
    path.remove_prefix(!path.empty() && path[0] == '.');
    return find({array->get(index), nullptr}, path);
}

int tell(const toml::source_position &at, unsigned *line, unsigned *column)
{
    if (!at) {
        return -1;
    }
    *line = at.line;
    *column = at.column;
    return 0;
}
} // namespace

struct toml_doc *toml_load(const char *path, char *error, size_t error_len)
{
    try {
        std::string text = read_file(path);
        auto doc = std::make_unique<toml_doc>();
        doc->table = toml::parse(text);
        doc->json = to_json(doc->table);
        return doc.release();
    } catch (const toml::parse_error &e) {
        std::snprintf(error, error_len, "%s:%u:%u: %.*s", path,
                      static_cast<unsigned>(e.source().begin.line),
                      static_cast<unsigned>(e.source().begin.column),
                      static_cast<int>(e.description().size()), e.description().data());
    } catch (const std::exception &e) {
        std::snprintf(error, error_len, "%s: %s", path, e.what());
    }
    return nullptr;
}

void toml_free(struct toml_doc *doc)
{
    delete doc;
}

struct json_t *toml_json(const struct toml_doc *doc)
{
    return doc->json.get();
}

int toml_where(const struct toml_doc *doc, const char *path, unsigned *line, unsigned *column)
{
    place found = find({&doc->table, nullptr}, path);
    return found.node ? tell(found.node->source().begin, line, column) : -1;
}

int toml_where_key(const struct toml_doc *doc, const char *path, unsigned *line, unsigned *column)
{
    place found = find({&doc->table, nullptr}, path);
    return found.key ? tell(found.key->source().begin, line, column) : -1;
}
