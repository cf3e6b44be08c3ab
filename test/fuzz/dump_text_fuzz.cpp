// Fuzz target: whatever a text is, entries are parts of it, in order, without overlap.
#include <cstdint>
#include <string>
#include <string_view>

#include "check.hpp"
#include "core/dump_text.hpp"

namespace {

bool is_within(std::string_view part, std::string_view text) {
    return part.empty() ||
           (part.data() >= text.data() && part.data() + part.size() <= text.data() + text.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace fastcopy::core;
    // In memory of its own, so that the sanitizer sees any byte read beyond it.
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i)
        text[i] = static_cast<char>(data[i]);
    DumpReader reader(text);
    DumpEntry entry;
    const char *last = text.data();
    while (reader.next(&entry)) {
        for (std::string_view part : {entry.dependencies, entry.name, entry.kind, entry.schema,
                                      entry.tablespace, entry.access_method, entry.sql})
            CHECK(is_within(part, text));
        CHECK(entry.kind.data() >= last);
        last = entry.kind.data() + entry.kind.size();
        CHECK(entry.sql.empty() || entry.sql.data() >= last);
        ForeignKeyText key;
        if (parse_foreign_key(entry.sql, &key)) {
            CHECK(is_within(key.table, entry.sql));
            CHECK(is_within(key.constraint, entry.sql));
            CHECK(is_within(key.key, entry.sql));
        }
        std::uint32_t id;
        std::string_view dependencies = entry.dependencies;
        while (take_dependency(&dependencies, &id)) {
        }
    }
    return 0;
}
