//! `sign` and `verify_signature`: RSA (PKCS #1 v1.5) and ECDSA over a hash of the text.
//!
//! The built-in host gives the key and the name of the hash to `BoringSSL`, which takes any pair of them. Here a pair is
//! a row of [`ALGORITHMS`]; one that is not there, and what is no key, answers as there a key that cannot sign. Keys
//! are `SubjectPublicKeyInfo` and PKCS #8, in DER or PEM (the older forms of private keys too, in PEM), as there.

mod keys;
#[cfg(test)]
mod tests;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA1_ASN1, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA384_ASN1,
    ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING,
    ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA1_ASN1, ECDSA_P521_SHA224_ASN1, ECDSA_P521_SHA224_ASN1_SIGNING,
    ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA256_ASN1_SIGNING, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding,
    UnparsedPublicKey, VerificationAlgorithm,
};

use self::keys::{KeyType, PrivateKey, PublicKey};
use super::{Answer, Scene};
use crate::host::stream::Stream;
use crate::host::types::Status;
use crate::host::wire;

/// A hash by its name in messages; any letter case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    const NAMES: [(&str, Self); 5] = [
        ("sha1", Self::Sha1),
        ("sha224", Self::Sha224),
        ("sha256", Self::Sha256),
        ("sha384", Self::Sha384),
        ("sha512", Self::Sha512),
    ];

    fn find(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, hash)| *hash)
    }
}

/// How one type of key signs one hash.
enum Signing {
    Rsa(&'static dyn RsaEncoding),
    Ecdsa(&'static EcdsaSigningAlgorithm),
    /// The pair can be verified only: SHA-1 is broken, and of the others the library makes one a curve.
    No,
}

struct Algorithm {
    key: KeyType,
    hash: Hash,
    verifying: &'static dyn VerificationAlgorithm,
    signing: Signing,
}

macro_rules! algorithms {
    ($( $key:ident $hash:ident $verifying:ident $signing:ident $(($with:expr))?; )*) => {
        const ALGORITHMS: &[Algorithm] = &[$(
            Algorithm {
                key: KeyType::$key,
                hash: Hash::$hash,
                verifying: &$verifying,
                signing: Signing::$signing $(($with))?,
            },
        )*];
    };
}

algorithms! {
    Rsa Sha1 RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY No;
    Rsa Sha256 RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY Rsa(&RSA_PKCS1_SHA256);
    Rsa Sha384 RSA_PKCS1_2048_8192_SHA384 Rsa(&RSA_PKCS1_SHA384);
    Rsa Sha512 RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY Rsa(&RSA_PKCS1_SHA512);
    P256 Sha1 ECDSA_P256_SHA1_ASN1 No;
    P256 Sha256 ECDSA_P256_SHA256_ASN1 Ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING);
    P256 Sha384 ECDSA_P256_SHA384_ASN1 No;
    P256 Sha512 ECDSA_P256_SHA512_ASN1 No;
    P384 Sha256 ECDSA_P384_SHA256_ASN1 No;
    P384 Sha384 ECDSA_P384_SHA384_ASN1 Ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING);
    P384 Sha512 ECDSA_P384_SHA512_ASN1 No;
    P521 Sha1 ECDSA_P521_SHA1_ASN1 No;
    P521 Sha224 ECDSA_P521_SHA224_ASN1 Ecdsa(&ECDSA_P521_SHA224_ASN1_SIGNING);
    P521 Sha256 ECDSA_P521_SHA256_ASN1 Ecdsa(&ECDSA_P521_SHA256_ASN1_SIGNING);
    P521 Sha384 ECDSA_P521_SHA384_ASN1 Ecdsa(&ECDSA_P521_SHA384_ASN1_SIGNING);
    P521 Sha512 ECDSA_P521_SHA512_ASN1 Ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING);
}

fn find(key: KeyType, hash: Hash) -> Option<&'static Algorithm> {
    ALGORITHMS.iter().find(|row| row.key == key && row.hash == hash)
}

/// `{1: string hash_function, 2: bytes public_key, 3: bytes signature, 4: bytes text, 5: string public_key_pem}` to
/// `{1: bool result, 2: string error}`.
pub(super) fn verify<S: Stream>(_: Scene<'_, S>, message: &[u8]) -> Answer {
    answer_verify(message)
}

fn answer_verify(message: &[u8]) -> Answer {
    let (mut hash, mut der, mut signature, mut text, mut pem) = ("", &b""[..], &b""[..], &b""[..], "");
    wire::read(message, |number, value| {
        match number {
            1 => hash = value.text()?,
            2 => der = value.bytes()?,
            3 => signature = value.bytes()?,
            4 => text = value.bytes()?,
            5 => pem = value.text()?,
            _ => {}
        }
        Some(())
    })
    .ok_or(Status::BadArgument)?;
    let key = match (der, pem) {
        ([], "") => return Err(Status::BadArgument),
        (der, "") => PublicKey::from_der(der),
        ([], pem) => PublicKey::from_pem(pem),
        (_, _) => return Err(Status::BadArgument),
    };
    let algorithm = |hash| key.as_ref().and_then(|key| Some((find(key.key_type(), hash)?, key)));
    let verified = match Hash::find(hash) {
        None => Err(format!("{hash} is not supported.")),
        Some(hash) => match algorithm(hash) {
            None => Err("Failed to initialize digest verify.".to_owned()),
            Some((algorithm, key)) => UnparsedPublicKey::new(algorithm.verifying, key.der())
                .verify(text, signature)
                .map_err(|_wrong| "Failed to verify digest. Error code: 0".to_owned()),
        },
    };
    let mut answer = Vec::new();
    wire::put_number(&mut answer, 1, u64::from(verified.is_ok()));
    if let Err(error) = verified {
        wire::put_bytes(&mut answer, 2, error.as_bytes());
    }
    Ok(answer)
}

/// `{1: string hash_function, 2: bytes private_key, 3: bytes text, 4: string private_key_pem}` to
/// `{1: bool result, 2: bytes signature, 3: string error}`.
pub(super) fn sign<S: Stream>(_: Scene<'_, S>, message: &[u8]) -> Answer {
    answer_sign(message)
}

fn answer_sign(message: &[u8]) -> Answer {
    let (mut hash, mut der, mut text, mut pem) = ("", &b""[..], &b""[..], "");
    wire::read(message, |number, value| {
        match number {
            1 => hash = value.text()?,
            2 => der = value.bytes()?,
            3 => text = value.bytes()?,
            4 => pem = value.text()?,
            _ => {}
        }
        Some(())
    })
    .ok_or(Status::BadArgument)?;
    let key = match (der, pem) {
        ([], "") => return Err(Status::BadArgument),
        (der, "") => PrivateKey::from_der(der),
        ([], pem) => PrivateKey::from_pem(pem),
        (_, _) => return Err(Status::BadArgument),
    };
    let signed = match Hash::find(hash) {
        None => Err(format!("{hash} is not supported.")),
        Some(hash) => key
            .ok_or("Invalid key type: private key required for signing operation.")
            .and_then(|key| signature(&key, hash, text).ok_or("Failed to initialize digest sign."))
            .map_err(str::to_owned),
    };
    let mut answer = Vec::new();
    wire::put_number(&mut answer, 1, u64::from(signed.is_ok()));
    match signed {
        Ok(signature) => wire::put_bytes(&mut answer, 2, &signature),
        Err(error) => wire::put_bytes(&mut answer, 3, error.as_bytes()),
    }
    Ok(answer)
}

/// The signature of a text. `None`: this key does not sign this hash here.
fn signature(key: &PrivateKey, hash: Hash, text: &[u8]) -> Option<Vec<u8>> {
    let random = SystemRandom::new();
    match (key, &find(key.key_type(), hash)?.signing) {
        (PrivateKey::Rsa(pair), Signing::Rsa(encoding)) => {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(*encoding, &random, text, &mut signature).ok()?;
            Some(signature)
        }
        (PrivateKey::Ecdsa { der, .. }, Signing::Ecdsa(algorithm)) => {
            let pair = EcdsaKeyPair::from_private_key_der(algorithm, der).ok()?;
            Some(pair.sign(&random, text).ok()?.as_ref().to_vec())
        }
        (_, _) => None,
    }
}
