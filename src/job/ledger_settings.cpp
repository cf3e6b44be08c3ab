// The ledger of the settings that jobs have taken on.
#include "job/ledger.hpp"
#include "job/ledger_session.hpp"

namespace fastcopy::job::ledger {

void add_settings(int64 job, const pg::Settings &settings) {
    int count = settings.count;
    auto **texts = static_cast<const char **>(palloc(sizeof(char *) * Max(count, 1) * 3));
    auto *roles = static_cast<Oid *>(palloc(sizeof(Oid) * Max(count, 1)));
    for (int i = 0; i < count; i++) {
        const pg::Setting &setting = settings.settings[i];
        texts[i] = setting.name;
        texts[count + i] = setting.value;
        texts[2 * count + i] = pg::name_of(setting.context);
        roles[i] = setting.role;
    }
    Session session = open();
    Params p;
    p.add_int8(job);
    for (int i = 0; i < 3; i++)
        p.add(TEXTARRAYOID, text_array(texts + i * count, count));
    p.add(OIDARRAYOID, oid_array(roles, count));
    run("INSERT INTO fastcopy.setting (job, name, value, context, role)"
        " SELECT $1, * FROM unnest($2, $3, $4, $5)",
        &p, SPI_OK_INSERT);
    close(session);
}

pg::Settings read_settings(int64 job) {
    MemoryContext caller = CurrentMemoryContext;
    Session session = open();
    Params p;
    p.add_int8(job);
    read("SELECT name, value, context, role::int8 FROM fastcopy.setting WHERE job = $1", &p);
    MemoryContext old = MemoryContextSwitchTo(caller);
    pg::Settings settings{};
    settings.settings =
        static_cast<pg::Setting *>(palloc(sizeof(pg::Setting) * Max(SPI_processed, 1)));
    for (uint64 i = 0; i < SPI_processed; i++)
        settings.settings[settings.count++] =
            pg::Setting{field("name", caller, i), field("value", caller, i),
                        pg::to_context(field("context", caller, i)),
                        static_cast<Oid>(field_int8("role", 0, i))};
    MemoryContextSwitchTo(old);
    close(session);
    return settings;
}

}  // namespace fastcopy::job::ledger
