#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/slices.hpp"

using namespace runner::core;
using namespace std::string_literals;

namespace {

StringTable table_of(const std::vector<std::string>& texts) {
  StringTable table;
  for (const auto& text : texts) table.push_back(text);
  return table;
}

SliceList numbers(std::string_view text) {
  const auto ranges = parse_ranges(text);
  REQUIRE_MESSAGE(ranges.ok(), text);
  return SliceList(Numbers{*ranges});
}
SliceList items(const std::vector<std::string>& texts) {
  return SliceList(Items{table_of(texts)});
}
SliceList files(const std::vector<std::string>& paths) {
  return SliceList(Files{table_of(paths)});
}
Numbers axis(std::string_view text) {
  return Numbers{*parse_ranges(text)};
}

std::vector<std::string> keys_of(const SliceList& list) {
  std::vector<std::string> keys;
  for (std::uint64_t i = 0; i < list.size(); ++i) keys.push_back(list.key(i));
  return keys;
}

std::string variable(const SliceList& list, std::uint64_t index, std::string_view name) {
  Variables variables;
  list.set_variables(index, variables);
  const std::string* value = variables.find(name);
  REQUIRE_MESSAGE(value != nullptr, name);
  return *value;
}

std::string selected(const SliceList& list, std::string_view text) {
  const auto set = list.select(text);
  return set ? set->to_string() : "error: " + set.error().message;
}

/// What holds for every list: keys are unique, find() is their inverse, variables are those that are announced.
void check_list(const SliceList& list) {
  std::set<std::string> keys;
  for (std::uint64_t i = 0; i < list.size(); ++i) {
    const std::string key = list.key(i);
    CAPTURE(key);
    REQUIRE(keys.insert(key).second);
    REQUIRE(list.find(key) == i);
    Variables variables;
    list.set_variables(i, variables);
    std::vector<std::string> names;
    for (const auto& [name, value] : variables.all()) names.push_back(name);
    REQUIRE(names == list.variable_names());
    REQUIRE(*variables.find("slice") == key);
    REQUIRE(*variables.find("index") == std::to_string(i));
  }
}

/// format_selection() of any set is read back as that set.
void check_round_trip(const SliceList& list, unsigned seed) {
  std::mt19937 random(seed);
  for (int round = 0; round < 50; ++round) {
    IntervalSet set;
    const unsigned density = 1 + random() % 4;
    for (std::uint64_t i = 0; i < list.size(); ++i) {
      if (random() % 4 < density) set.insert(i);
    }
    if (set.empty()) continue;
    const std::string text = list.format_selection(set);
    CAPTURE(text);
    const auto again = list.select(text);
    REQUIRE(again.ok());
    REQUIRE(*again == set);
    REQUIRE(list.format_selection(*again) == text);
  }
}

std::vector<SliceList> all_kinds() {
  std::vector<SliceList> lists;
  for (const char* text : {"0-99", "0-99:5", "1,4,7-9", "5-9,0-4", "0-98:2,1-99:2", "-5-5", "-9--3:2,17", "42"}) {
    lists.push_back(numbers(text));
  }
  lists.emplace_back(Blocks{1050, 100});
  lists.push_back(files({"data/2.h5", "data/10.h5", "x,y.h5", "back\\slash", " blank ", "2024-01-01.h5"}));
  lists.emplace_back(Lines{table_of({"a", "b", "a", "a#2", "a#2", "", "", "#2", "a#3"})});
  lists.push_back(items({"10", "20", "7", "8", "9"}));
  lists.push_back(items({"10", "x", "0-3", "2", "@1", "@", "-4"}));
  lists.push_back(items({"007", "008", "7"}));
  lists.push_back(items({"5", "5", "6"}));
  lists.emplace_back(Table{{"id", "model"}, table_of({"3", "a", "1", "b", "2", "c", "12", "d"})});
  lists.push_back(SliceList::matrix({{"seed", axis("0-9:3")}, {"model", Items{table_of({"a", "b", "a"})}}}));
  lists.push_back(SliceList::matrix({{"x", Items{table_of({"a", "a,y=b", "c\\", "\\,"})}},
                                     {"y", Items{table_of({"c", "b,y=c", "", "="})}},
                                     {"z", axis("1-2")}}));
  return lists;
}

}  // namespace

TEST_CASE("in every kind of list keys are unique, are found again, and variables are as announced") {
  for (const SliceList& list : all_kinds()) check_list(list);
}

TEST_CASE("in every kind of list a printed selection is read back as it was") {
  unsigned seed = 0;
  for (const SliceList& list : all_kinds()) check_round_trip(list, ++seed);
}

TEST_CASE("what is no key of a list is not found") {
  CHECK_FALSE(numbers("0-99").find("100"));
  CHECK_FALSE(numbers("0-99").find("07"));
  CHECK_FALSE(numbers("0-99").find("+7"));
  CHECK_FALSE(numbers("0-99").find(""));
  CHECK_FALSE(numbers("0-99:5").find("7"));
  CHECK_FALSE(items({"a", "a"}).find("a#1"));
  CHECK_FALSE(items({"a", "a"}).find("a#3"));
  CHECK_FALSE(items({"a", "a"}).find("a#02"));
  CHECK_FALSE(items({"a", "a"}).find("#2"));
  CHECK_FALSE(SliceList().find(""));
}

TEST_CASE("a range of 10,000,000 slices costs nothing and any of them is there at once") {
  const SliceList list = numbers("0-9999999");
  CHECK(list.size() == 10'000'000);
  CHECK(list.key(9'999'999) == "9999999");
  CHECK(list.find("1234567") == 1'234'567);
  CHECK(list.select("5-9999990")->count() == 9'999'986);
  CHECK(list.select("0-9999999")->intervals().size() == 1);
  CHECK(list.format_selection(IntervalSet::first_n(10'000'000)) == "0-9999999");
  const SliceList largest = numbers("1-9223372036854775807");
  CHECK(largest.size() == kMaxSlices);
  CHECK(largest.find(largest.key(kMaxSlices - 1)) == kMaxSlices - 1);
}

TEST_CASE("numbers give {slice} and {index}") {
  const SliceList list = numbers("10-20:5");
  CHECK(keys_of(list) == std::vector<std::string>{"10", "15", "20"});
  CHECK(variable(list, 1, "slice") == "15");
  CHECK(variable(list, 1, "index") == "1");
  CHECK(list.variable_names() == std::vector<std::string>{"slice", "index"});
  CHECK(list.has_number_keys());
}

TEST_CASE("blocks give the inclusive rows of each, the last one cut short") {
  const SliceList list(Blocks{1'000'005, 10'000});
  CHECK(list.size() == 101);
  CHECK(list.key(100) == "100");
  CHECK(variable(list, 0, "first") == "0");
  CHECK(variable(list, 0, "last") == "9999");
  CHECK(variable(list, 100, "first") == "1000000");
  CHECK(variable(list, 100, "last") == "1000004");
  CHECK(list.has_number_keys());
  CHECK(SliceList(Blocks{0, 10}).size() == 0);
  CHECK(SliceList(Blocks{5, 10}).size() == 1);
  CHECK(variable(SliceList(Blocks{5, 10}), 0, "last") == "4");
}

TEST_CASE("blocks do not overflow at the ends of 64 bits") {
  const SliceList list(Blocks{UINT64_MAX, UINT64_MAX - 1});
  CHECK(list.size() == 2);
  CHECK(variable(list, 0, "last") == "18446744073709551613");
  CHECK(variable(list, 1, "first") == "18446744073709551614");
  CHECK(variable(list, 1, "last") == "18446744073709551614");
  CHECK_THROWS_AS(SliceList(Blocks{UINT64_MAX, 1}), std::length_error);
}

TEST_CASE("files give their path and its parts, as they are written") {
  const auto parts = [](const std::string& path) {
    const SliceList list = files({path});
    CHECK(list.key(0) == path);
    CHECK(variable(list, 0, "file") == path);
    return variable(list, 0, "file.dir") + "|" + variable(list, 0, "file.name") + "|" + variable(list, 0, "file.stem");
  };
  CHECK(parts("data/a.h5") == "data|a.h5|a");
  CHECK(parts("a.tar.gz") == ".|a.tar.gz|a.tar");
  CHECK(parts("/data/x/a") == "/data/x|a|a");
  CHECK(parts("/a.h5") == "/|a.h5|a");
  CHECK(parts("a//b.h5") == "a|b.h5|b");
  CHECK(parts("d.x/.bashrc") == "d.x|.bashrc|.bashrc");
  CHECK(parts("data/run1/") == "data|run1|run1");
  CHECK(parts("./-rf *.h5") == ".|-rf *.h5|-rf *");
  CHECK(parts("My brother's 12\" *** record  (costs $$$).jpg") ==
        ".|My brother's 12\" *** record  (costs $$$).jpg|My brother's 12\" *** record  (costs $$$)");
  CHECK(parts("/") == "/|/|/");
  CHECK(parts("..") == ".|..|..");
}

TEST_CASE("lines, items and tables give their variables") {
  const SliceList lines(Lines{table_of({"one two", "three"})});
  CHECK(variable(lines, 1, "line") == "three");
  CHECK(lines.key(0) == "one two");
  CHECK(variable(items({"a", "b"}), 1, "item") == "b");
  const SliceList table(Table{{"seed", "model", "x_0"}, table_of({"1", "a", "", "2", "b c", "9"})});
  CHECK(table.size() == 2);
  CHECK(table.key(1) == "2");
  CHECK(variable(table, 1, "seed") == "2");
  CHECK(variable(table, 1, "model") == "b c");
  CHECK(variable(table, 0, "x_0").empty());
  CHECK(table.variable_names() == std::vector<std::string>{"seed", "model", "x_0", "slice", "index"});
  CHECK(SliceList(Table{}).size() == 0);
}

TEST_CASE("a label that occurs again is numbered, and the variable keeps what was written") {
  const SliceList list = items({"a", "b", "a", "a"});
  CHECK(keys_of(list) == std::vector<std::string>{"a", "b", "a#2", "a#3"});
  CHECK(variable(list, 3, "item") == "a");
  CHECK(variable(list, 3, "slice") == "a#3");
}

TEST_CASE("a numbered label never takes the name of a genuine one") {
  CHECK(keys_of(items({"x", "x", "x#2", "x"})) == std::vector<std::string>{"x", "x#3", "x#2", "x#4"});
  CHECK(keys_of(items({"x#2", "x", "x#2", "x"})) == std::vector<std::string>{"x#2", "x", "x#2#2", "x#3"});
  CHECK(keys_of(items({"", "", "#2"})) == std::vector<std::string>{"", "#3", "#2"});
}

TEST_CASE("keys stay unique whatever labels collide") {
  std::mt19937 random(9);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> labels;
    for (int i = 0; i < 12; ++i) {
      std::string label = random() % 2 == 0 ? "a" : "";
      while (random() % 2 == 0) label += "#" + std::to_string(random() % 3 + 1);
      labels.push_back(label);
    }
    check_list(items(labels));
  }
}

TEST_CASE("a million equal lines are still told apart") {
  StringTable lines;
  for (int i = 0; i < 1'000'000; ++i) lines.push_back("same");
  const SliceList list(Lines{std::move(lines)});
  CHECK(list.key(0) == "same");
  CHECK(list.key(999'999) == "same#1000000");
  CHECK(list.find("same#500000") == 499'999);
}

TEST_CASE("a matrix is the product of its axes, the last one fastest") {
  const SliceList list = SliceList::matrix({{"seed", axis("0-1")}, {"model", Items{table_of({"a", "b", "c"})}}});
  CHECK(keys_of(list) == std::vector<std::string>{"seed=0,model=a", "seed=0,model=b", "seed=0,model=c",
                                                  "seed=1,model=a", "seed=1,model=b", "seed=1,model=c"});
  CHECK(variable(list, 4, "seed") == "1");
  CHECK(variable(list, 4, "model") == "b");
  CHECK(list.variable_names() == std::vector<std::string>{"seed", "model", "slice", "index"});
  CHECK_FALSE(list.has_number_keys());
  for (const char* key : {"seed=0", "model=a,seed=0", "seed=0,model=a,", "seed=0,model=d", "seed=00,model=a",
                          "seed=0,model=\\a", "0,a", "seed=0 ,model=a"}) {
    CHECK_MESSAGE(!list.find(key), key);
  }
}

TEST_CASE("commas and backslashes within a matrix key are marked") {
  const SliceList list = SliceList::matrix({{"x", Items{table_of({"a,b", "c\\d"})}}, {"y", axis("1")}});
  CHECK(keys_of(list) == std::vector<std::string>{"x=a\\,b,y=1", "x=c\\\\d,y=1"});
  CHECK(variable(list, 0, "x") == "a,b");
}

TEST_CASE("a product beyond what can be counted is told before and refused") {
  CHECK(SliceList::matrix_size({}) == 1);
  CHECK(SliceList::matrix_size({3, 4}) == 12);
  CHECK(SliceList::matrix_size({kMaxSlices, 1}) == kMaxSlices);
  CHECK(SliceList::matrix_size({kMaxSlices, kMaxSlices, 0}) == 0);
  CHECK_FALSE(SliceList::matrix_size({kMaxSlices, 2}));
  CHECK_FALSE(SliceList::matrix_size({1ULL << 32U, 1ULL << 32U}));
  CHECK_FALSE(SliceList::matrix_size({1ULL << 21U, 1ULL << 21U, 1ULL << 21U}));
  CHECK_THROWS_AS((void)SliceList::matrix({{"a", axis("0-4294967295")}, {"b", axis("0-4294967295")}}),
                  std::length_error);
  CHECK(SliceList::matrix({{"a", axis("0-9")}, {"b", Items{}}}).size() == 0);
  CHECK(SliceList::matrix({}).size() == 0);
}

TEST_CASE("where keys are numbers, a selection means keys") {
  const SliceList list = numbers("100-199");
  CHECK(selected(list, "103,107-109") == "3,7-9");
  CHECK(selected(list, " 103 , 107-109 ") == "3,7-9");
  CHECK(selected(list, "109,103,103,100-104") == "0-4,9");
  CHECK(selected(list, "150-300") == "50-99");
  CHECK(selected(list, "100-199:50") == "0,50");
  CHECK(selected(list, "@3,@7-9") == "3,7-9");
  CHECK(selected(numbers("-5-5"), "-5--3,0") == "0-2,5");
  CHECK(selected(items({"30", "10", "20"}), "10") == "1");
  CHECK(selected(items({"30", "10", "20"}), "15-40") == "0,2");
}

TEST_CASE("a range in a selection takes those that exist") {
  const SliceList list = numbers("0-99:5");
  CHECK(selected(list, "3-100") == "1-19");
  CHECK(selected(list, "3-16") == "1-3");
  CHECK(selected(list, "0-99:10") == "0,2,4,6,8,10,12,14,16,18");
}

TEST_CASE("an item that selects nothing is an error that names it and what there is") {
  CHECK(selected(numbers("0-99"), "5,103") == "error: no slice 103 (slices are 0-99)");
  CHECK(selected(numbers("0-99:5"), "101-104") == "error: no slice 101-104 (slices are 0-95:5)");
  CHECK(selected(numbers("0-99:5"), "1-4") == "error: no slice 1-4 (slices are 0-95:5)");
  CHECK(selected(numbers("1,4,7,10,13,16"), "2") == "error: no slice 2 (slices are 1,4,7,10,13,...)");
  CHECK(selected(numbers("0-99"), "x") == "error: no slice x (slices are 0-99)");
  CHECK(selected(numbers("0-99"), "@100") == "error: no slice with index 100 (indices are 0-99)");
  CHECK(selected(items({"10", "5"}), "7") == "error: no slice 7 (slices are 10,5)");
  CHECK(selected(files({"a.h5", "b.h5"}), "2") == "error: no slice with index 2 (indices are 0-1)");
  CHECK(selected(files({"a.h5", "data/b.h5"}), "dta/b.h5") == "error: no slice dta/b.h5; did you mean data/b.h5?");
  CHECK(selected(files({"a.h5"}), "zzz") == "error: no slice zzz (keys are such as a.h5)");
  CHECK(selected(files({"a.h5"}), "z\x1B") == "error: no slice z\\x1b (keys are such as a.h5)");
  CHECK(selected(SliceList(), "3") == "error: no slice 3 (there are no slices)");
  CHECK(selected(SliceList(Items{}), "a") == "error: no slice a (there are no slices)");
  CHECK(selected(numbers("0-9"), "") == "error: the selection is empty: name slices, such as 3,7-9");
  CHECK(selected(numbers("0-9"), " ") == "error: the selection is empty: name slices, such as 3,7-9");
  CHECK(selected(numbers("0-9"), "3,,4") == "error: \"3,,4\" has nothing between two commas");
  CHECK(selected(numbers("0-9"), "9-0") == "error: \"9-0\" runs backwards: write 0-9");
  CHECK(selected(numbers("0-9"), "007").find("leading zeros") != std::string::npos);
  CHECK(selected(numbers("0-9"), "@x").starts_with("error: \"x\" is not a number or a range"));
  CHECK(selected(numbers("0-9"), "@").starts_with("error: \"\" is not a number or a range"));
}

TEST_CASE("where keys are words, numbers mean indices and words mean keys") {
  const SliceList list = files({"data/a.h5", "data/b.h5", "data/c.h5", "x,y", "back\\slash"});
  CHECK_FALSE(list.has_number_keys());
  CHECK(selected(list, "0,2-9") == "0,2-4");
  CHECK(selected(list, "data/b.h5,0") == "0-1");
  CHECK(selected(list, "x\\,y,back\\\\slash") == "3-4");
  CHECK(list.format_selection(IntervalSet::range(1, 3)) == "1-3");
}

TEST_CASE("where some keys look like numbers, a number is a key and only @ gives an index") {
  const SliceList list = items({"b", "3", "a", "x", "0-1", "@1"});
  CHECK_FALSE(list.has_number_keys());
  CHECK(selected(list, "3") == "1");
  CHECK(selected(list, "@3") == "3");
  CHECK(selected(list, "0-1") == "4");
  CHECK(selected(list, "@0-1") == "0-1");
  CHECK(selected(list, "\\@1") == "5");
  CHECK(selected(list, "2") == "error: no slice 2 (keys are such as b; write @2 for the index)");
  CHECK(list.format_selection(IntervalSet::range(1, 3)) == "@1-3");
  IntervalSet two = IntervalSet::range(1, 3);
  two.insert(5);
  CHECK(list.format_selection(two) == "@1-3,@5");
  CHECK(list.format_selection(two, 1) == "@1-3,... (1 more)");
}

TEST_CASE("a matrix is selected by key or by index") {
  const SliceList list = SliceList::matrix({{"seed", axis("0-9")}, {"model", Items{table_of({"a", "b,c"})}}});
  CHECK(selected(list, "seed=3,model=a") == "6");
  CHECK(selected(list, "seed=3,model=a, seed=4,model=b\\,c ,0") == "0,6,9");
  CHECK(selected(list, "2-4") == "2-4");
  CHECK(selected(list, "seed=3") == "error: no slice seed=3 (keys are such as seed=0,model=a)");
  CHECK(selected(list, "seed=3,model=x") == "error: no slice seed=3,model=x; did you mean seed=3,model=a?");
}

TEST_CASE("a selection is printed as keys where they are numbers, in few words, and cut where it is long") {
  const SliceList list = numbers("0-99:5");
  CHECK(list.format_selection(IntervalSet::first_n(20)) == "0-95:5");
  CHECK(list.format_selection(IntervalSet::range(1, 2)) == "5,10");
  CHECK(list.format_selection(IntervalSet::range(3, 3)) == "15");
  CHECK(list.format_selection(IntervalSet()).empty());
  CHECK(numbers("5-9,0-4").format_selection(IntervalSet::first_n(10)) == "5-9,0-4");
  CHECK(items({"7", "8", "9", "1"}).format_selection(IntervalSet::first_n(4)) == "7-9,1");
  IntervalSet many;
  for (std::uint64_t i = 0; i < 100; i += 2) many.insert(i);
  CHECK(numbers("0-99").format_selection(many, 3) == "0,2,4,... (47 more)");
  CHECK(numbers("0-99").format_selection(many, 0) == "... (50 more)");
}

TEST_CASE("the fingerprint changes with any key or variable, and only then for numbers") {
  std::set<std::uint64_t> seen;
  std::vector<SliceList> lists = all_kinds();
  lists.push_back(items({"ab", "c"}));
  lists.push_back(items({"a", "bc"}));
  lists.push_back(items({"a", "bc", ""}));
  lists.emplace_back(Lines{table_of({"a", "bc"})});
  lists.push_back(files({"a", "bc"}));
  lists.emplace_back(Table{{"a", "b"}, table_of({"1", "2"})});
  lists.emplace_back(Table{{"a", "c"}, table_of({"1", "2"})});
  lists.emplace_back(Table{{"a", "b"}, table_of({"1", "3"})});
  lists.push_back(numbers("0-98"));
  lists.push_back(numbers("0-99:2"));
  lists.emplace_back(Blocks{1050, 101});
  lists.emplace_back(Blocks{1051, 100});
  lists.push_back(SliceList::matrix({{"a", axis("0-9")}}));
  lists.push_back(SliceList::matrix({{"b", axis("0-9")}}));
  lists.emplace_back();
  for (const SliceList& list : lists) CHECK(seen.insert(list.fingerprint()).second);
  CHECK(numbers("0-99").fingerprint() == numbers("0-99").fingerprint());
  CHECK(numbers("0-99:5").fingerprint() == numbers("0-95:5").fingerprint());
  CHECK(numbers("1,2,3").fingerprint() == numbers("1-3").fingerprint());
}

TEST_CASE("the fingerprint is the same in every build, for it is stored") {
  CHECK(numbers("0-99").fingerprint() == 5627148663309719303U);
  CHECK(items({"a", "b"}).fingerprint() == 4880945147446291566U);
}

TEST_CASE("a copy of a list is independent of the original") {
  auto original = std::make_unique<SliceList>(items({"a", "b", "a"}));
  const SliceList copy = *original;
  original.reset();
  check_list(copy);
}

TEST_CASE("a selection of every other slice of very many is refused, not listed") {
  const SliceList all(Numbers{{{0, INT64_MAX - 1, 1}}});
  const auto selected = all.select("0-9223372036854775806:2");
  REQUIRE_FALSE(selected);
  CHECK(selected.error().message ==
        "more than 2,000,000 stretches of neighbouring slices: select them in several runs");
  CHECK(all.select("0-3999999:2")->intervals().size() == 2'000'000);
  CHECK_FALSE(all.select("0-3999999:2,9999999"));
}

TEST_CASE("a selection whose parts lie between each other's is made in no time") {
  const SliceList all(Numbers{{{0, INT64_MAX - 1, 1}}});
  CHECK(all.select("0-1999999:4,2-1999999:4,1-1999999:4,3-1999999:4")->intervals().size() == 1);
}
