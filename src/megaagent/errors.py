"""Failures, by who must act.

    MegaAgentError
    ├── ConfigurationError   the operator, before anything is spent: a setting, a key, a missing program
    ├── RunError             the operator, about a run's folder: in use, damaged, of something else
    ├── ToolError            the model: told to the agent as the answer to its call
    ├── ModelError           the provider layer: retried, rerouted or reported by the rule of its fault
    └── SandboxError         the operator: programs cannot be run as safely as configured

Anything else that is raised is a bug and stays loud.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from megaagent.events import Usage


class MegaAgentError(Exception):
    """Base of every failure that MegaAgent raises on purpose."""


class ConfigurationError(MegaAgentError):
    """Something that the operator gave cannot work; the message says what, where and what to do."""


class RunError(MegaAgentError):
    """A run's folder cannot be used as asked: it is in use, read-only, damaged, or not a run."""


class ToolError(MegaAgentError):
    """A tool refused a call; the text is the model's answer, so it says what to do instead."""


class SandboxError(MegaAgentError):
    """A program cannot be run at the configured level; the message names the fix."""


Fault = Literal[
    "connection",  # refused, reset, DNS, TLS: nothing was received
    "timeout",  # no answer, or a stall within one, before the attempt's deadline
    "rate_limit",  # 429: slow down; `retry_after` says how long when the provider did
    "overloaded",  # 5xx and 529: the provider is in trouble
    "no_money",  # the account is out of credit or quota: a person must act
    "unauthorized",  # wrong or missing key: a person must act
    "not_found",  # model or endpoint does not exist: a person must act
    "bad_request",  # the provider refuses this request as it stands
    "context_overflow",  # the request does not fit the model's window
    "refused",  # content filter or refusal
    "broken",  # an answer that is not valid for its protocol: cut stream, bad JSON, HTML with 200
    "empty",  # an answer with neither text nor calls
]


class ModelError(MegaAgentError):
    """One attempt at a model call failed.

    Args:
        fault: what kind of failure, which decides the rule that is applied.
        detail: what was seen, for people; never contains a key.
        retry_after: seconds that the provider asked to wait, if it did.
        status: HTTP status, if there was one.

    Attributes:
        maybe_paid: the provider may have worked on the request, so it may ask to be paid.
        usage: what it counted, if it told.
        on_our_side: it failed between us and who asked the provider, which says nothing about the provider.
        needs_person: asking again, or asking for something else, helps nobody before a person has acted.
    """

    def __init__(self, fault: Fault, detail: str, *, retry_after: float | None = None, status: int | None = None):
        super().__init__(f"{fault}: {detail}")
        self.fault: Fault = fault
        self.detail = detail
        self.retry_after = retry_after
        self.status = status
        self.maybe_paid = False
        self.on_our_side = False
        self.usage: Usage | None = None
        self.needs_person = False
