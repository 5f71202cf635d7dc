// docs/CONFIGURATION.md says what the table says. On failure the right text is printed, to
// be put between the marks.
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "broker/config/directive.h"
#include "gtest/gtest.h"

namespace {

const char kFile[] = "docs/CONFIGURATION.md";

std::string Between(const std::string &name) {
    std::ifstream file(kFile);
    std::stringstream text;
    text << file.rdbuf();
    std::string all = text.str();
    std::string begin = "<!-- " + name + ": written by documentation_test -->\n";
    std::string end = "<!-- end of " + name + " -->\n";
    size_t from = all.find(begin);
    size_t to = all.find(end);
    if (from == std::string::npos || to == std::string::npos) {
        ADD_FAILURE() << kFile << " has no marks of " << name;
        return "";
    }
    from += begin.size();
    return all.substr(from, to - from);
}

void ExpectWritten(const std::string &name, const std::string &right) {
    bool same = Between(name) == right;
    EXPECT_TRUE(same) << kFile << ": the text between the marks of " << name
                      << " has to be the above";
    if (!same) {
        std::cout << right;
    }
}

const char *ScopeName(mr_scope scope) {
    switch (scope) {
        case MR_SCOPE_LISTENER:
            return "listener";
        case MR_SCOPE_SECURITY:
            return "security";
        case MR_SCOPE_GLOBAL:
            break;
    }
    return "global";
}

std::string Value(const mr_directive &directive) {
    char out[MR_EXPECTED_BYTES];
    return mr_directive_expected(&directive, out);
}

std::string Default(const mr_directive &directive) {
    char out[MR_EXPECTED_BYTES];
    return mr_directive_default(&directive, out);
}

TEST(Documentation, NamesEachDirective) {
    std::string right =
        "| directive | scope | value | default | meaning |\n|---|---|---|---|---|\n";
    for (size_t i = 0; i < mr_directive_count; i++) {
        const mr_directive &d = mr_directives[i];
        right += std::string("| `") + d.name + "` | " + ScopeName(d.scope) + " | " + Value(d) +
                 " | " + Default(d) + " | " + d.help + " |\n";
    }
    ExpectWritten("directives", right);
}

TEST(Documentation, NamesWhatIsNotSupported) {
    std::vector<std::pair<std::string, std::string>> rows;  // Advice and names.
    for (size_t i = 0; i < mr_unsupported_count; i++) {
        const struct mr_unsupported &u = mr_unsupported[i];
        std::string name = std::string("`") + u.name + "`";
        if (u.harmless != nullptr) {
            name += std::string(" (but `") + u.harmless + "` is accepted)";
        }
        size_t row = 0;
        while (row < rows.size() && rows[row].first != u.advice) {
            row++;
        }
        if (row == rows.size()) {
            rows.emplace_back(u.advice, name);
        } else {
            rows[row].second += ", " + name;
        }
    }
    std::string right = "| directives | instead |\n|---|---|\n";
    for (const auto &[advice, names] : rows) {
        right += "| " + names + " | " + advice + " |\n";
    }
    ExpectWritten("unsupported", right);
}

}  // namespace
