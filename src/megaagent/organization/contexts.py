"""What each agent's model is sent: the shared prefix, the role, the conversation, and the status that is not kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

from megaagent import events as ev
from megaagent.agent.conversation import TOLD, Conversation, escape
from megaagent.agent.prompt import Measure, Prompt
from megaagent.agent.prompts import Prompts
from megaagent.errors import ModelError
from megaagent.events import BOSS, ENGINE, AgentId, Event, Fact, Message, MessageId, Record, name_of, superior_of
from megaagent.models.contract import ChatMessage
from megaagent.organization.asking import Append, Question
from megaagent.organization.limits import Limits
from megaagent.organization.members import Member
from megaagent.organization.state import State
from megaagent.organization.voices import Voices
from megaagent.tools.rules import Scopes

AWAKE = 2_000  # conversations kept in memory; the others are read back from the journal when needed
LOOKED_AT = 8  # of the conversations that were used longest ago, when one is to be put to rest
UNSUMMARIZED = ("context_overflow", "refused", "broken", "empty", "bad_request")  # going on without is all there is
_KINDS = TOLD | {ev.AgentRecruited, ev.AgentRetired}  # facts that change anything here
LEAST_WINDOW = 4_000  # tokens of a conversation that are kept even for a model that seems to read less
CHARACTERS_PER_TOKEN = 4  # of prose and code, for deciding when a conversation is long


class Reader(Protocol):
    """The part of a journal's reader that contexts need."""

    def records(
        self, after: int = 0, *, agent: AgentId | None = None, kinds: Sequence[type[Event]] | None = None
    ) -> Iterator[Record]: ...


Patiently = Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]


async def _at_once(act: Callable[[], Awaitable[None]]) -> None:
    await act()


class Contexts:
    """The conversations of a run's agents.

    Args:
        read: opens the journal for reading.
        budget_line: words on what is left for an agent to spend.
        patiently: does what reads the journal again and again while that cannot be read; at once without it.
    """

    def __init__(
        self,
        state: State,
        prompts: Prompts,
        limits: Limits,
        read: Callable[[], Reader],
        append: Append,
        budget_line: Callable[[AgentId], str],
        scopes: Scopes,
        patiently: Patiently | None = None,
    ):
        self._patiently = patiently or _at_once
        self._state = state
        self._prompts = prompts
        self._limits = limits
        self._read = read
        self._append = append
        self._budget_line = budget_line
        self._scopes = scopes
        self._prefix = ChatMessage("system", prompts.text("rules"))
        self._common = Measure().then((self._prefix,))
        self._conversations: OrderedDict[AgentId, Conversation] = OrderedDict()
        self._roles: OrderedDict[AgentId, ChatMessage] = OrderedDict()  # of those recruited last
        self._answers: dict[AgentId, ev.ModelAnswered] = {}
        # By reader: what calls in flight carry. A fact is taken in when the journal may not be readable.
        self._mail: dict[AgentId, dict[MessageId, Message]] = {}

    def take_in(self, record: Record) -> None:
        """Keep the conversations that are in memory up to date; to be called for every committed fact."""
        if type(record.event) not in _KINDS:
            return
        match record.event:
            case ev.AgentRecruited() as recruited:
                self._keep_role(recruited)
                return
            case ev.CallIntended(purpose="step", mail=ids):
                self._keep_mail(record.agent, ids)
            case ev.ModelAnswered() as answer if record.agent in self._state.members:
                self._answers[record.agent] = answer
            case ev.AgentRetired(id=id):
                self._conversations.pop(id, None)
                self._answers.pop(id, None)
                self._mail.pop(id, None)
                return
            case _:
                pass
        conversation = self._conversations.get(record.agent)
        if conversation is not None:
            conversation.apply(record)
        if isinstance(record.event, ev.ModelAnswered):
            self._mail.pop(record.agent, None)

    async def ready(self, agent: AgentId) -> None:
        """Read what the agent's next step needs of the journal, however long that takes to be readable."""

        pending = self._state.members[agent].pending
        if agent in self._conversations and (agent in self._answers or not pending):
            return

        async def load() -> None:
            self._conversation(agent)
            if pending:
                self.last_answer(agent)

        await self._patiently(load)

    def prompt(self, member: Member) -> Prompt:
        """The whole request but for the status, with the mail that waits."""
        return self._conversation(member.id).with_mail(member.inbox)

    def last_answer(self, agent: AgentId) -> ev.ModelAnswered | None:
        """The agent's newest answer."""
        if agent not in self._answers:
            for record in self._read().records(agent=agent, kinds=[ev.ModelAnswered]):
                assert isinstance(record.event, ev.ModelAnswered)
                self._answers[agent] = record.event
        return self._answers.get(agent)

    def status(self, member: Member) -> str:
        """What changes from step to step: sent last, never kept."""
        lines = ["<status>"]
        if member.checklist:
            lines += [f"[{'x' if item.done else ' '}] {_one_line(item.text)}" for item in member.checklist]
        for below in self._state.subordinates(member.id):
            stand = ", ".join(sorted({self._state.debts[id].status for id in below.owes})) or "settled"
            lines.append(f"{name_of(below.id)}: {stand}")
        if member.program is not None:
            lines.append("your program is running")
        if member.disputed:
            lines.append(f"conflicts to settle: {', '.join(member.disputed)}")
        lines += [self._budget_line(member.id), "</status>"]
        return "\n".join(lines)

    async def compact_if_needed(self, member: Member, voices: Voices, *, overflowed: bool = False) -> None:
        """Replace a conversation that has become too long, or runs in a loop, by a summary that the agent writes.

        Args:
            overflowed: the provider has said that it is too long, whatever we counted.
        """
        conversation = self._conversation(member.id)
        window = voices.window(member.tier)  # of a model that was seen to cut its prompts
        most = self._limits.context if window is None else min(self._limits.context, max(LEAST_WINDOW, window // 2))
        counted = conversation.characters >= most * CHARACTERS_PER_TOKEN
        long = counted or (overflowed and conversation.last_step > 0)
        if not long and not self._state.habits_of(member.id).refresh:
            return
        step = conversation.last_step
        prompt = conversation.with_mail(())

        def prepare() -> Question | None:
            if self._state.members[member.id].retired is not None:
                return None  # it has left while it waited for its place or its money
            return Question(member.id, member.step, "summary", prompt, self._prompts.text("summary"))

        try:
            answer = self._bought_summary(member) or await voices.ask("summarizer", prepare)
        except ModelError as error:
            if error.fault not in UNSUMMARIZED:
                raise
            summary = f"(the older part could not be summarized: {error.fault}; use recall)"
        else:
            summary = answer.text if answer is not None else ""
        await self._append([Fact(member.id, member.step, ev.ContextCompacted(step, self._rebuilt(member) + summary))])

    def _bought_summary(self, member: Member) -> ev.ModelAnswered | None:
        """The summary that an engine paid for and died before it was used."""
        bought = None
        for record in self._read().records(agent=member.id, kinds=[ev.ModelAnswered, ev.ContextCompacted]):
            match record.event:
                case ev.ModelAnswered(call=call) as answer if call == f"{member.id}#{member.step}/summary":
                    bought = answer
                case ev.ContextCompacted():
                    bought = None
                case _:
                    pass
        return bought

    def _rebuilt(self, member: Member) -> str:
        """What no summary may lose, from the journal: debts as they stand."""
        debts = [self._state.debts[id] for id in member.owes]
        return "".join(f"You owe {name_of(debt.creditor)}: {debt.task} ({debt.status}).\n" for debt in debts)

    def _conversation(self, agent: AgentId) -> Conversation:
        conversation = self._conversations.get(agent)
        if conversation is None:
            head = (self._prefix, self._role_of(agent))
            conversation = Conversation(partial(self._find, agent), head, self._common)
            if self._state.members[agent].step:  # before its first step there is nothing to read
                for record in self._read().records(agent=agent):
                    conversation.apply(record)
            self._conversations[agent] = conversation
            if len(self._conversations) > AWAKE:
                self._put_one_to_rest()
        self._conversations.move_to_end(agent)
        return conversation

    def _put_one_to_rest(self) -> None:
        for _ in range(LOOKED_AT):
            agent = next(iter(self._conversations))
            if not self._state.members[agent].acting:
                del self._conversations[agent]
                self._answers.pop(agent, None)
                return
            self._conversations.move_to_end(agent)

    def _role_of(self, agent: AgentId) -> ChatMessage:
        role = self._roles.pop(agent, None)  # from now on its conversation holds it
        if role is not None:
            return role
        for record in self._read().records(agent=superior_of(agent) or ENGINE, kinds=[ev.AgentRecruited]):
            if isinstance(record.event, ev.AgentRecruited):
                if record.event.id == agent:
                    role = self._role(record.event)
                elif record.event.id not in self._conversations:
                    self._keep_role(record.event)  # one reading serves the whole group
        if role is None:
            raise LookupError(f"the recruiting of {agent} is not in the journal")
        return role

    def _keep_role(self, recruited: ev.AgentRecruited) -> None:
        self._roles[recruited.id] = self._role(recruited)
        if len(self._roles) > AWAKE:
            self._roles.popitem(last=False)

    def _role(self, recruited: ev.AgentRecruited) -> ChatMessage:
        template = "boss" if recruited.id == BOSS else "member"
        text = self._prompts.fill(
            template,
            name=name_of(recruited.id),
            path=recruited.id,
            description=recruited.description,
            superior=name_of(superior_of(recruited.id) or ""),
            prompt=recruited.prompt,
        )
        members = self._state.members
        kept = self._scopes.kept_from(
            recruited.id, lambda id: recruited.tools if id == recruited.id else members[id].tools
        )
        if kept:
            text += f"\n\nYou may not use these tools: {', '.join(kept)}."
        return ChatMessage("system", text)

    def _keep_mail(self, agent: AgentId, ids: tuple[MessageId, ...]) -> None:
        member = self._state.members.get(agent)
        inbox = member.inbox if member is not None else ()
        self._mail[agent] = {message.id: message for message in inbox if message.id in ids}

    def _find(self, reader: AgentId, id: MessageId) -> Message:
        """A message that was read earlier. Its id begins with the agent in whose facts it stands."""
        message = self._mail.get(reader, {}).get(id)
        if message is not None:
            return message
        for record in self._read().records(agent=id.partition("#")[0], kinds=[ev.MessageSent]):
            if isinstance(record.event, ev.MessageSent) and record.event.message.id == id:
                return record.event.message
        raise LookupError(f"message {id} is not in the journal")


def _one_line(text: str) -> str:
    """Text of an agent's making as it may stand in the status, which is the engine's."""
    return escape(" ".join(text.split()))
