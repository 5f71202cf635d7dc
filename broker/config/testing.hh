// For tests: configuration files in memory, and a reading of them.
#ifndef MILLRACE_BROKER_CONFIG_TESTING_HH
#define MILLRACE_BROKER_CONFIG_TESTING_HH

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/config/config.h"

namespace millrace {

// What malloc'ed memory the parser wants.
inline char *Malloced(const std::string &text) {
    char *copy = static_cast<char *>(std::malloc(text.size() + 1));
    if (copy != nullptr) {
        std::memcpy(copy, text.data(), text.size());
        copy[text.size()] = '\0';
    }
    return copy;
}

class MemoryFiles {
 public:
    std::map<std::string, std::string> files;
    std::map<std::string, std::vector<std::string>> folders;

    mr_config_reader Reader() {
        return {this, Read, List};
    }

 private:
    static mr_err Read(void *ctx, const char *path, char **text_out, size_t *len_out) {
        const auto &files = static_cast<MemoryFiles *>(ctx)->files;
        auto it = files.find(path);
        if (it == files.end()) {
            return MR_ERR_NOTFOUND;
        }
        *text_out = Malloced(it->second);
        *len_out = it->second.size();
        return *text_out == nullptr ? MR_ERR_NOMEM : MR_OK;
    }

    static mr_err List(void *ctx, const char *folder, char ***names_out, size_t *count_out) {
        const auto &folders = static_cast<MemoryFiles *>(ctx)->folders;
        auto it = folders.find(folder);
        if (it == folders.end()) {
            return MR_ERR_NOTFOUND;
        }
        char **names = static_cast<char **>(std::calloc(it->second.size() + 1, sizeof(*names)));
        for (size_t i = 0; names != nullptr && i < it->second.size(); i++) {
            names[i] = Malloced(it->second[i]);
            if (names[i] == nullptr) {
                while (i-- > 0) {
                    std::free(names[i]);
                }
                std::free(names);
                return MR_ERR_NOMEM;
            }
        }
        *names_out = names;
        *count_out = it->second.size();
        return names == nullptr ? MR_ERR_NOMEM : MR_OK;
    }
};

struct FreeConfig {
    void operator()(mr_config *config) const {
        mr_config_free(config);
    }
};

struct Reading {
    mr_err err;
    std::unique_ptr<mr_config, FreeConfig> config;
    std::vector<std::string> messages;
    size_t error_count;

    const mr_config *operator->() const {
        return config.get();
    }
    std::string AllMessages() const {
        std::string all;
        for (const std::string &line : messages) {
            all += line + "\n";
        }
        return all;
    }
};

inline mr_config_overrides NoOverrides() {
    mr_config_overrides overrides = {};
    overrides.workers = -1;
    return overrides;
}

inline Reading ReadFiles(MemoryFiles *files, mr_config_overrides overrides) {
    mr_config_reader reader = files->Reader();
    mr_config *config = nullptr;
    mr_config_messages messages;
    Reading reading = {};
    reading.err = mr_config_read(&config, &messages, &reader, &overrides);
    reading.config.reset(config);
    reading.messages.assign(messages.lines, messages.lines + messages.count);
    reading.error_count = messages.error_count;
    mr_config_messages_fini(&messages);
    return reading;
}

// Reads `text` as the file "c".
inline Reading ReadText(const std::string &text, mr_config_overrides overrides = NoOverrides()) {
    MemoryFiles files;
    files.files["c"] = text;
    overrides.path = "c";
    return ReadFiles(&files, overrides);
}

}  // namespace millrace

#endif  // MILLRACE_BROKER_CONFIG_TESTING_HH
