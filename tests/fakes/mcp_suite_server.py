"""The server of MCP that the public conformance suite expects, made with the official SDK; knows not who stands before it.

The names of its tools, prompts and resources, and what they answer, are those that the suite asks for.
"""

import asyncio
import base64
import json
import socket
from typing import Any

import uvicorn
from mcp.server.mcpserver import AssistantMessage, Context, MCPServer, UserMessage
from mcp.types import (
    AudioContent,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from mcp_server import Remembered
from pydantic import BaseModel, Field

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

server = MCPServer("suite", version="1")


def embedded(uri: str, text: str, kind: str = "text/plain") -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=kind, text=text))


@server.tool()
def test_simple_text() -> str:
    """Answer with a text."""
    return "This is a simple text response for testing."


@server.tool()
def test_image_content() -> list[ImageContent]:
    """Answer with an image."""
    return [ImageContent(type="image", data=PIXEL, mime_type="image/png")]


@server.tool()
def test_audio_content() -> list[AudioContent]:
    """Answer with a sound."""
    return [AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]


@server.tool()
def test_embedded_resource() -> list[EmbeddedResource]:
    """Answer with a resource."""
    return [embedded("test://embedded-resource", "This is an embedded resource content.")]


@server.tool()
def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Answer with a text, an image and a resource."""
    return [
        TextContent(type="text", text="Multiple content types test:"),
        ImageContent(type="image", data=PIXEL, mime_type="image/png"),
        embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json"),
    ]


@server.tool()
async def test_tool_with_logging(context: Context) -> str:
    """Log while it runs."""
    for told in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await context.info(told)
        await asyncio.sleep(0.05)
    return "done"


@server.tool()
async def test_tool_with_progress(context: Context) -> str:
    """Report progress while it runs."""
    for step in (0, 50, 100):
        await context.report_progress(step, 100)
        await asyncio.sleep(0.05)
    return "done"


@server.tool()
def test_error_handling() -> str:
    """Always fail."""
    raise ValueError("This tool intentionally returns an error for testing")


@server.tool()
async def test_sampling(prompt: str, context: Context) -> str:
    """Let the client ask its model."""
    asked = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    answer = await context.session.create_message(messages=[asked], max_tokens=100)
    return f"LLM response: {answer.content.text}"


class Said(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


@server.tool()
async def test_elicitation(message: str, context: Context) -> str:
    """Let the client ask its user."""
    answer = await context.elicit(message, Said)
    return f"User response: {answer.action}"


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: str = Field(default="active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = True


@server.tool()
async def test_elicitation_sep1034_defaults(context: Context) -> str:
    """Ask with values that are there already."""
    answer = await context.elicit("Please review", Defaults)
    return f"Elicitation completed: action={answer.action}"


def titled(*titles: tuple[str, str]) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in titles]


OPTIONS = titled(("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option"))


class Enums(BaseModel):
    untitledSingle: str = Field(json_schema_extra={"enum": ["option1", "option2", "option3"]})  # noqa: N815 named by the suite
    titledSingle: str = Field(json_schema_extra={"oneOf": OPTIONS})  # noqa: N815
    legacyEnum: str = Field(json_schema_extra={"enum": ["opt1", "opt2"], "enumNames": ["One", "Two"]})  # noqa: N815
    untitledMulti: list[str] = Field(json_schema_extra={"items": {"type": "string", "enum": ["option1", "option2"]}})  # noqa: N815
    titledMulti: list[str] = Field(json_schema_extra={"items": {"anyOf": OPTIONS}})  # noqa: N815


@server.tool()
async def test_elicitation_sep1330_enums(context: Context) -> str:
    """Ask for one of several values."""
    answer = await context.elicit("Please choose", Enums)
    return f"Elicitation completed: action={answer.action}"


@server.tool()
async def test_reconnection(context: Context) -> str:
    """End the stream before the answer, and after its first event: the SDK closes it with whatever waits to be written."""
    await asyncio.sleep(0.5)
    await context.close_sse_stream()
    await asyncio.sleep(0.2)
    return "Reconnection test completed"


def form(message: str, **members: str) -> ElicitRequest:
    schema = {"type": "object", "properties": {name: {"type": kind} for name, kind in members.items()}, "required": [*members]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


@server.tool()
def test_input_required_result_elicitation(context: Context) -> str | InputRequiredResult:
    """Need the name of the user."""
    answers: Any = context.input_responses or {}
    if "user_name" not in answers:
        return InputRequiredResult(input_requests={"user_name": form("What is your name?", name="string")})
    return f"Hello, {answers['user_name'].content['name']}!"


@server.tool()
def test_input_required_result_request_state(context: Context) -> str | InputRequiredResult:
    """Need what was said before."""
    answers: Any = context.input_responses or {}
    if "confirm" not in answers:
        return InputRequiredResult(input_requests={"confirm": form("Please confirm", ok="boolean")}, request_state="first")
    return "state-ok"


@server.tool()
def test_input_required_result_tampered_state(context: Context) -> str | InputRequiredResult:
    """Need what was said before, unchanged."""
    if not context.input_responses:
        return InputRequiredResult(input_requests={"confirm": form("Please confirm", ok="boolean")}, request_state="signed")
    return "state-ok"


@server.tool()
def test_input_required_result_multi_round(context: Context) -> str | InputRequiredResult:
    """Need two answers, one after the other."""
    answers: Any = context.input_responses or {}
    if "step2" in answers:
        return "done"
    if "step1" in answers:
        asked = form("Step 2: What is your favorite color?", color="string")
        return InputRequiredResult(input_requests={"step2": asked}, request_state="second")
    asked = form("Step 1: What is your name?", name="string")
    return InputRequiredResult(input_requests={"step1": asked}, request_state="first")


def sampled(text: str) -> CreateMessageRequest:
    asked = SamplingMessage(role="user", content=TextContent(type="text", text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[asked], max_tokens=100))


@server.tool()
def test_input_required_result_sampling(context: Context) -> str | InputRequiredResult:
    """Need an answer of the client's model."""
    answers: Any = context.input_responses or {}
    if "capital_question" not in answers:
        return InputRequiredResult(input_requests={"capital_question": sampled("What is the capital of France?")})
    return str(answers["capital_question"].content.text)


@server.tool()
def test_input_required_result_list_roots(context: Context) -> str | InputRequiredResult:
    """Need the roots of the client."""
    answers: Any = context.input_responses or {}
    if "client_roots" not in answers:
        return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})
    return str(answers["client_roots"].roots[0].uri)


@server.tool()
def test_input_required_result_multiple_inputs(context: Context) -> str | InputRequiredResult:
    """Need three answers at once."""
    answers: Any = context.input_responses or {}
    wanted = {
        "user_name": form("What is your name?", name="string"),
        "greeting": sampled("Generate a greeting"),
        "client_roots": ListRootsRequest(),
    }
    if wanted.keys() - answers.keys():
        return InputRequiredResult(input_requests=wanted, request_state="several")
    return "all there"


@server.tool()
def test_input_required_result_capabilities(context: Context) -> str | InputRequiredResult:
    """Need what the client says it can do."""
    able = context.client_capabilities
    wanted: dict[str, Any] = {}
    if able is not None and able.sampling is not None:
        wanted["sampled"] = sampled("Say something")
    if able is not None and able.elicitation is not None:
        wanted["asked"] = form("Say something", said="string")
    return InputRequiredResult(input_requests=wanted) if wanted and not context.input_responses else "nothing needed"


@server.prompt()
def test_input_required_result_prompt(context: Context) -> list[UserMessage] | InputRequiredResult:
    """Need some context."""
    answers: Any = context.input_responses or {}
    if "user_context" not in answers:
        asked = form("What context should the prompt use?", context="string")
        return InputRequiredResult(input_requests={"user_context": asked})
    return [UserMessage(f"Context: {answers['user_context'].content['context']}")]


@server.prompt()
def test_simple_prompt() -> list[UserMessage]:
    """Say one thing."""
    return [UserMessage("This is a simple prompt for testing.")]


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
    """Say what the arguments are."""
    return [UserMessage(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")]


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803 named by the suite
    """Show a resource."""
    return [UserMessage(embedded(resourceUri, "Embedded resource content for testing.")), UserMessage("Please process it.")]


@server.prompt()
def test_prompt_with_image() -> list[UserMessage | AssistantMessage]:
    """Show an image."""
    return [UserMessage(ImageContent(type="image", data=PIXEL, mime_type="image/png")), UserMessage("Please analyze it.")]


@server.resource("test://static-text")
def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """An image."""
    return base64.b64decode(PIXEL)


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:  # noqa: A002 named by the suite
    """Something with an id."""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


@server.resource("test://watched-resource")
def watched() -> str:
    """Something that can change."""
    return "Watched resource content"


@server.completion()
async def complete(_reference: Any, _argument: Any, _context: Any) -> Completion:
    """Propose the same for everything."""
    return Completion(values=["paris", "park"], total=2, has_more=False)


async def nothing(_context: Any, _params: Any) -> EmptyResult:
    """Answer what only has to be answered."""
    return EmptyResult()


for method, params in (
    ("logging/setLevel", SetLevelRequestParams),
    ("resources/subscribe", SubscribeRequestParams),
    ("resources/unsubscribe", UnsubscribeRequestParams),
):
    server._lowlevel_server.add_request_handler(method, params, nothing)


def main() -> None:
    """Serve on a free port."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = server.streamable_http_app(event_store=Remembered(), retry_interval=100)
    print(listening.getsockname()[1], flush=True)  # noqa: T201 whoever started it reads this
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run([listening])


if __name__ == "__main__":
    main()
