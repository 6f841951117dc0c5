// UTF-8 and the byte alphabet of GPT-2 style tokenizers. Pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace swage {

// Length of the well-formed UTF-8 sequence at text[at], 0 if it is ill-formed there. Needs at <
// text.size().
size_t Utf8SequenceAt(std::string_view text, size_t at);
uint32_t DecodeUtf8At(std::string_view text, size_t at);  // needs Utf8SequenceAt(text, at) > 0
void AppendUtf8(uint32_t code_point, std::string* out);

bool IsValidUtf8(std::string_view text);
// Each maximal ill-formed part becomes one U+FFFD (Unicode 15, 3.9, "U+FFFD Substitution of Maximal
// Subparts": what Python's errors="replace" and Rust's from_utf8_lossy do).
std::string ReplaceInvalidUtf8(std::string_view text);

// White_Space of Unicode: what \s matches in the tokenizers library.
bool IsWhiteSpace(uint32_t code_point);

// The byte alphabet: printable bytes of Latin-1 stand for themselves, the 68 others are U+0100
// onwards, in order.
const std::array<std::string, 256>& ByteAlphabet();           // byte -> its character, UTF-8
std::optional<uint8_t> ByteOfCharacter(uint32_t code_point);  // the inverse

std::string ToByteAlphabet(std::string_view bytes);

// Bytes that a token of the byte alphabet stands for; nullopt when some character is outside the
// alphabet.
std::optional<std::string> BytesOfToken(std::string_view token);

// "<0x0A>": a byte in the vocabularies of SentencePiece.
std::string ByteToken(uint8_t byte);
std::optional<uint8_t> ByteOfToken(std::string_view token);  // the inverse; any case of letters

}  // namespace swage
