//! The attribute `#[denali_rt::test]`.
//!
//! It takes the function apart as far as it must: whether it is `async`, its name, and what
//! `#[ignore]` and `#[should_panic]` say. All else is `denali_rt::__test!`, an ordinary macro.

#![forbid(unsafe_code)]

use proc_macro::{Delimiter, Group, Ident, Literal, Span, TokenStream, TokenTree};
use std::iter::Peekable;

/// Makes a function a test that `cargo denali test` runs inside a VM.
///
/// The function takes nothing and returns what `main` may return; it may be `async`. It goes below
/// `#[cfg(test)]`, beside ordinary tests. `#[ignore]`, `#[ignore = "…"]`, `#[should_panic]` and
/// `#[should_panic(expected = "…")]` below this attribute mean what they mean below `#[test]`.
///
/// `cargo test` compiles the test, and reports it as ignored.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if let Some(argument) = arguments.into_iter().next() {
        return error(argument.span(), "`#[denali_rt::test]` takes no arguments");
    }
    match Function::parse(item) {
        Some(function) => function.expand(),
        None => error(Span::call_site(), "`#[denali_rt::test]` needs a function"),
    }
}

/// A test function, taken apart.
struct Function {
    name: Ident,
    is_async: bool,
    /// Empty, or a mark and perhaps the reason.
    ignored: Vec<Literal>,
    /// Empty, or a mark and perhaps a part of the message.
    panics: Vec<Literal>,
    /// The function without the two attributes.
    item: TokenStream,
}

impl Function {
    fn parse(tokens: TokenStream) -> Option<Self> {
        let mut tokens = tokens.into_iter().peekable();
        let (mut ignored, mut panics) = (Vec::new(), Vec::new());
        let mut item = TokenStream::new();
        while let Some(sign) = tokens.next_if(is_hash) {
            let attribute = tokens.next()?;
            match name_of(&attribute).as_deref() {
                Some("ignore") => ignored = marked(attribute),
                Some("should_panic") => panics = marked(attribute),
                _ => item.extend([sign, attribute]),
            }
        }
        let mut is_async = false;
        let name = name(&mut tokens, &mut item, &mut is_async)?;
        item.extend(tokens);
        Some(Self {
            name,
            is_async,
            ignored,
            panics,
            item,
        })
    }

    /// Returns `::denali_rt::__test! { NAME CALL [IGNORED] [PANICS] ITEM }`.
    fn expand(self) -> TokenStream {
        let call = if self.is_async { "future" } else { "plain" };
        let list = |literals: Vec<Literal>| {
            let literals = literals.into_iter().map(TokenTree::from).collect();
            TokenTree::from(Group::new(Delimiter::Bracket, literals))
        };
        let mut body: TokenStream = [
            TokenTree::from(self.name),
            Ident::new(call, Span::call_site()).into(),
            list(self.ignored),
            list(self.panics),
        ]
        .into_iter()
        .collect();
        body.extend(self.item);
        let path = "::denali_rt::__test!".parse::<TokenStream>();
        let mut expansion = path.unwrap_or_default();
        expansion.extend([TokenTree::from(Group::new(Delimiter::Brace, body))]);
        expansion
    }
}

/// Copies what stands before the function's name and the name itself, and returns the name.
fn name(
    tokens: &mut Peekable<impl Iterator<Item = TokenTree>>,
    item: &mut TokenStream,
    is_async: &mut bool,
) -> Option<Ident> {
    loop {
        let token = tokens.next()?;
        let word = token.to_string();
        item.extend([token]);
        match word.as_str() {
            "async" => *is_async = true,
            "fn" => break,
            _ => {}
        }
    }
    let TokenTree::Ident(name) = tokens.next()? else {
        return None;
    };
    item.extend([TokenTree::from(name.clone())]);
    Some(name)
}

fn is_hash(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(sign) if sign.as_char() == '#')
}

/// Returns the first word inside an attribute's brackets.
fn name_of(attribute: &TokenTree) -> Option<String> {
    let TokenTree::Group(group) = attribute else {
        return None;
    };
    Some(group.stream().into_iter().next()?.to_string())
}

/// Returns a mark that the attribute was there, and the string it holds, if any.
fn marked(attribute: TokenTree) -> Vec<Literal> {
    let mut literals = vec![Literal::string("!")];
    literals.extend(literal_in(attribute));
    literals
}

fn literal_in(token: TokenTree) -> Option<Literal> {
    match token {
        TokenTree::Literal(literal) => Some(literal),
        TokenTree::Group(group) => group.stream().into_iter().find_map(literal_in),
        TokenTree::Ident(_) | TokenTree::Punct(_) => None,
    }
}

/// Returns a `compile_error!` that points at `span`.
fn error(span: Span, message: &str) -> TokenStream {
    let text = format!("::core::compile_error!{{{message:?}}}");
    let tokens = text.parse::<TokenStream>().unwrap_or_default();
    let spanned = tokens.into_iter().map(|mut token| {
        token.set_span(span);
        token
    });
    spanned.collect()
}
