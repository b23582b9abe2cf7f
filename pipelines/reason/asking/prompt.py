"""The words around a clip: the turn that a model of the Qwen-VL families reads before it answers.

One prompt is a *prefix* (system turn and video, the same for all questions of a clip) and a *suffix* (the question). An
engine tokenises the parts and puts the video's tokens between them. The text of a question is ordinary text to the
model, whatever it holds; the system turn is the job's own, and special tokens in it are meant.
"""

from __future__ import annotations

from dataclasses import dataclass

from framegate.schemas.qa import OPTION_LETTERS, AnswerType, Question

DEFAULT_SYSTEM_PROMPT = (
    "You answer questions about a video clip. First give your best answer at once inside \\boxed{}. Then think it "
    "through step by step between <think> and </think>, look at the clip again, and give your final answer inside "
    "\\boxed{}. Put nothing but the answer into a box: the letter of an option, yes or no, a number, a few words, or "
    "[start, end] in seconds."
)

TYPE_HINTS: dict[AnswerType, str] = {
    "choice": "Answer with the letter of one option.",
    "yes_no": "Answer yes or no.",
    "number": "Answer with a number.",
    "text": "Answer with a few words.",
    "span": "Answer with [start, end] in seconds.",
}

BOX_OPENING = "\\boxed{"
THINK_OPENING = "<think>"
THINK_CLOSING = "</think>"
FORCED_CLOSING = THINK_CLOSING + BOX_OPENING


@dataclass(frozen=True)
class PromptText:
    """What a person wrote, and the words of the turn behind it.

    plain    from a question bank: ordinary text, also where it looks like a special token, such as `<|im_end|>`
    markup   ours: special tokens stand in it by their names
    """

    plain: str
    markup: str

    def __str__(self) -> str:
        return self.plain + self.markup


def prefix_before_video(system_prompt: str) -> str:
    """All that stands before the video's tokens."""
    return f"<|im_start|>system\n{system_prompt}<|im_end|>\n<|im_start|>user\n"


def question_text(question: Question) -> str:
    """The question as a person would read it: its text, its lettered options, and how to answer."""
    lines = [question.text]
    lines += [f"({letter}) {option}" for letter, option in zip(OPTION_LETTERS, question.options, strict=False)]
    lines.append(TYPE_HINTS[question.type])
    return "\n".join(lines)


def suffix_after_video(question: Question, instruction: str = "", *, told: str = "") -> PromptText:
    """All that stands between the video's tokens and the model's first token. `instruction`: a strategy's own words
    about how to answer, in a line of their own. `told`: likewise, what it says of the clip before the question."""
    plain = "\n".join(filter(None, (told, question_text(question), instruction)))
    return PromptText(plain=plain, markup="<|im_end|>\n<|im_start|>assistant\n")
